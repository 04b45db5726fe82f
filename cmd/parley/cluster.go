package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"parley/cluster"
)

// clusterKeyCmd makes the secret that the nodes of a cluster share.
type clusterKeyCmd struct{}

func (clusterKeyCmd) Run(io streams) error {
	key, err := cluster.NewKey()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, key)
	return err
}

// adminClient asks any node of the cluster on its admin listener. The token comes from the environment: command lines are
// visible to others.
type adminClient struct {
	Admin string `help:"Admin listener of any node of the cluster. Its token is taken from PARLEY_ADMIN_TOKEN." default:"http://127.0.0.1:9090" placeholder:"URL"`
}

// adminTimeout bounds a question; the node answers from memory.
const adminTimeout = 5 * time.Second

// ask makes one request and decodes the answer into reply, unless that is nil.
func (c adminClient) ask(method, path string, reply any) error {
	base, err := url.Parse(c.Admin)
	if err != nil || base.Host == "" {
		return usageError{fmt.Errorf("--admin: %q is not like http://127.0.0.1:9090", c.Admin)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Admin, "/")+cluster.AdminPrefix+path, nil)
	if err != nil {
		return usageError{err}
	}
	if token := os.Getenv("PARLEY_ADMIN_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	if resp.StatusCode >= 300 {
		var problem struct{ Message string }
		if json.Unmarshal(body, &problem) != nil || problem.Message == "" {
			problem.Message = strings.TrimSpace(string(body))
		}
		return fmt.Errorf("%s: %s", resp.Status, problem.Message)
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(body, reply); err != nil {
		return fmt.Errorf("the answer is not what a node says: %w", err)
	}
	return nil
}

// nodesCmd lists the nodes.
type nodesCmd struct {
	adminClient
	JSON bool `name:"json" help:"As the node says it."`
}

func (c *nodesCmd) Run(io streams) error {
	var reply cluster.NodesReply
	if err := c.ask(http.MethodGet, "nodes", &reply); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(io.out, reply)
	}
	if reply.Degraded {
		fmt.Fprintf(io.out, "%s sees less than half of the cluster\n", reply.Self)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tSTATE\tREGION\tLOAD\tPEOPLE\tROOMS\tEPOCH\tADDRESS")
	for _, n := range reply.Nodes {
		state := n.State
		if n.Draining {
			state = "draining"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f %%\t%d\t%d\t%d\t%s\n",
			n.Node, state, dash(n.Region), 100*n.Load.Used, n.Load.Participants, n.Load.Rooms, n.Epoch, dash(n.URL))
	}
	return w.Flush()
}

// roomsCmd lists the rooms of all nodes.
type roomsCmd struct {
	adminClient
	JSON bool `name:"json" help:"As the node says it."`
}

func (c *roomsCmd) Run(io streams) error {
	var reply cluster.RoomsReply
	if err := c.ask(http.MethodGet, "rooms", &reply); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(io.out, reply)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROOM\tPEOPLE\tOWNER\tNODES")
	for _, r := range reply.Rooms {
		var nodes []string
		for _, n := range slices.Sorted(maps.Keys(r.Nodes)) {
			nodes = append(nodes, fmt.Sprintf("%s:%d", n, r.Nodes[n]))
		}
		fmt.Fprintf(w, "%q\t%d\t%s\t%s\n", r.Room, r.Participants, dash(r.Owner), strings.Join(nodes, " "))
	}
	return w.Flush()
}

// drainCmd empties a node.
type drainCmd struct {
	adminClient
	Node string `arg:"" help:"Name of the node."`
}

func (c *drainCmd) Run(io streams) error {
	if err := c.ask(http.MethodPost, "nodes/"+url.PathEscape(c.Node)+"/drain", nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(io.out, "%s takes nobody new and moves its participants\n", c.Node)
	return err
}

// forgetCmd strikes a dead node from the list.
type forgetCmd struct {
	adminClient
	Node string `arg:"" help:"Name of the node."`
}

func (c *forgetCmd) Run(io streams) error {
	if err := c.ask(http.MethodPost, "nodes/"+url.PathEscape(c.Node)+"/forget", nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(io.out, "%s does not count any more\n", c.Node)
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
