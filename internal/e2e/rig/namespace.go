//go:build e2e || bench

package rig

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Command runs a program in a network namespace, or here when ns is empty. It dies with the test process.
func Command(ns, name string, args ...string) *exec.Cmd {
	if ns != "" {
		args = append([]string{"netns", "exec", ns, name}, args...)
		name = "ip"
	}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// LAN is two hosts on one wire, in namespaces, with no route to anywhere else.
type LAN struct {
	Server, Client string // names of the namespaces
}

const (
	ServerIP  = "10.77.0.1"
	ClientIP  = "10.77.0.2"
	ClientIP2 = "10.77.0.3"
)

// NewLAN builds the network and removes it at the end of the test.
func NewLAN(t testing.TB) *LAN {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root: run make test as root")
	}
	id := fmt.Sprint(os.Getpid())
	l := &LAN{Server: "pls" + id, Client: "plc" + id}
	for _, ns := range []string{l.Server, l.Client} {
		l.IP(t, "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	// The interface is called lan0 on both sides: veth* is excluded from media by default, as docker's.
	l.IP(t, "-n", l.Server, "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", l.Client)
	for ns, addr := range map[string]string{l.Server: ServerIP, l.Client: ClientIP} {
		l.IP(t, "-n", ns, "address", "add", addr+"/24", "dev", "lan0")
		l.IP(t, "-n", ns, "link", "set", "lan0", "up")
		l.IP(t, "-n", ns, "link", "set", "lo", "up")
		routes, err := exec.Command("ip", "-n", ns, "route", "show", "default").Output()
		require.NoError(t, err)
		require.Empty(t, strings.TrimSpace(string(routes)), "no default route")
	}
	return l
}

func (l *LAN) IP(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %s: %s", strings.Join(args, " "), out)
}

// NFT runs nftables commands in a namespace.
func (l *LAN) NFT(t testing.TB, ns, script string) {
	t.Helper()
	cmd := Command(ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "nft: %s", out)
}

// BlockUDP drops all UDP that leaves the client host, until the end of the test.
func (l *LAN) BlockUDP(t testing.TB) {
	l.NFT(t, l.Client, "table inet block { chain out { type filter hook output priority 0; oifname lan0 meta l4proto udp counter drop; }; }")
	t.Cleanup(func() { _ = Command(l.Client, "nft", "delete", "table", "inet", "block").Run() })
}

// Within runs f with its sockets in the namespace ns; f must make them itself, not in goroutines.
func Within(ns string, f func() error) error {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = f()
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		return back // the thread stays locked and ends with the goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// HTTPIn is an HTTP client whose connections start in ns; empty is here.
func HTTPIn(ns string) *http.Client {
	tr := &http.Transport{DisableKeepAlives: true}
	if ns != "" {
		tr.DialContext = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = Within(ns, func() error {
				conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		}
	}
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}
