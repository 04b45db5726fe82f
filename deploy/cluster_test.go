package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"

	"parley/internal/config"
)

// The three nodes of the compose file load, agree on who they are, and publish what clients need.
func TestComposeCluster(t *testing.T) {
	var c struct {
		Services map[string]struct {
			Environment map[string]string
			Ports       []string
			StopGrace   string `yaml:"stop_grace_period"`
			Networks    map[string]struct {
				Address string `yaml:"ipv4_address"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose.cluster.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	key := t.TempDir() + "/cluster.key"
	if err := os.WriteFile(key, []byte("SCAAAA"), 0o600); err != nil {
		t.Fatal(err)
	}
	urls := map[string]bool{}
	for _, name := range []string{"a", "b", "c"} {
		service := c.Services[name]
		var environ []string
		for k, v := range service.Environment {
			environ = append(environ, k+"="+strings.Replace(substitute(v), "/key/cluster.key", key, 1))
		}
		cfg, err := config.Load(config.Options{Environ: environ})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		own := service.Networks["nodes"].Address
		if cfg.Cluster.Node != name || cfg.Cluster.Listen.Addr != netip.MustParseAddr(own) || cfg.Cluster.TrunkListen.Addr != cfg.Cluster.Listen.Addr {
			t.Errorf("%s is %+v at %s", name, cfg.Cluster, own)
		}
		if len(cfg.Cluster.Routes) != 3 || !strings.Contains(strings.Join(cfg.Cluster.Routes, " "), own+":") || cfg.Cluster.Size != 3 {
			t.Errorf("%s knows the nodes %v of %d", name, cfg.Cluster.Routes, cfg.Cluster.Size)
		}
		urls[cfg.Cluster.URL] = true
		https := fmt.Sprintf("192.168.1.20:%d:%[1]d/tcp", cfg.HTTPS.Listen.Port)
		media := fmt.Sprintf("192.168.1.20:%s:%[1]s/udp", cfg.Media.UDPPorts)
		var got []string
		for _, p := range service.Ports {
			got = append(got, substitute(p))
		}
		if strings.Join(got, " ") != https+" "+media {
			t.Errorf("%s publishes %v, not %s and %s", name, got, https, media)
		}
		if cfg.TURN.Enabled || cfg.Media.TCPPort != 0 || cfg.HTTP.Listen.All() {
			t.Errorf("%s opens ports that are not published", name)
		}
		if service.StopGrace != "35s" || cfg.DrainTimeout.Seconds() >= 35 {
			t.Errorf("%s has %s to stop in, and drains for %v", name, service.StopGrace, cfg.DrainTimeout)
		}
	}
	if len(urls) != 3 {
		t.Errorf("three nodes at %v", urls)
	}
}

// helm is not here; these are the functions that the chart uses, as helm has them.
var helmFuncs = template.FuncMap{
	"quote": func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
	"add":   func(a, b int) int { return a + b },
	"default": func(d, v any) any {
		if v == nil || v == "" {
			return d
		}
		return v
	},
	"toJson": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
}

// render gives every document of the chart with its own values.
func render(t *testing.T) []map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "helm/parley/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	var chart struct{ AppVersion string }
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "helm/parley/Chart.yaml")), &raw); err != nil {
		t.Fatal(err)
	}
	chart.AppVersion, _ = raw["appVersion"].(string)
	data := map[string]any{"Values": values, "Release": map[string]any{"Name": "parley"}, "Chart": chart}
	var out []map[string]any
	for _, name := range []string{"statefulset", "services", "budget"} {
		text := read(t, "helm/parley/templates/"+name+".yaml")
		var b strings.Builder
		if err := template.Must(template.New(name).Funcs(helmFuncs).Option("missingkey=error").Parse(text)).Execute(&b, data); err != nil {
			t.Fatal(err)
		}
		dec := yaml.NewDecoder(strings.NewReader(b.String()))
		for {
			var doc map[string]any
			if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, b.String())
			}
			out = append(out, doc)
		}
	}
	return out
}

// at walks into a document.
func at(t *testing.T, doc any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch k := step.(type) {
		case string:
			m, ok := doc.(map[string]any)
			if !ok || m[k] == nil {
				t.Fatalf("no %v in %v", path, doc)
			}
			doc = m[k]
		case int:
			doc = doc.([]any)[k]
		}
	}
	return doc
}

func TestHelmChart(t *testing.T) {
	kinds := map[string]int{}
	for _, doc := range render(t) {
		kind := doc["kind"].(string)
		kinds[kind]++
		switch kind {
		case "StatefulSet":
			pod := at(t, doc, "spec", "template", "spec")
			if pod.(map[string]any)["hostNetwork"] != nil {
				t.Error("the host's network is not needed")
			}
			environ := []string{"POD_IP=10.1.2.3", "HOSTNAME=parley-1"}
			key := t.TempDir() + "/cluster.key"
			if err := os.WriteFile(key, []byte("SCAAAA"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, e := range at(t, pod, "containers", 0, "env").([]any) {
				if value, ok := e.(map[string]any)["value"].(string); ok {
					environ = append(environ, e.(map[string]any)["name"].(string)+"="+strings.Replace(value, "/key/cluster.key", key, 1))
				}
			}
			environ = append(environ, "PARLEY_AUTH_KEY=key", "PARLEY_AUTH_SECRET="+strings.Repeat("x", 32))
			// What the container's script exports comes from the script itself.
			script := at(t, pod, "containers", 0, "args", 0).(string)
			cmd := exec.Command("bash", "-ec", strings.Replace(script, "exec /usr/local/bin/parley serve", "env", 1))
			cmd.Env = append(os.Environ(), environ...)
			env, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var given []string
			for line := range strings.Lines(string(env)) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "PARLEY_") {
					given = append(given, line)
				}
			}
			cfg, err := config.Load(config.Options{Environ: given})
			if err != nil {
				t.Fatal(err)
			}
			if c := cfg.Cluster; c.Node != "parley-1" || c.URL != "https://b.voice.example" || c.Listen.String() != "10.1.2.3:10300" || c.Size != 3 || len(c.Routes) != 3 {
				t.Errorf("the second node is %+v", c)
			}
			if cfg.Media.UDPPorts.First != cfg.Media.UDPPorts.Last || cfg.Media.NAT1To1[0].String() != "203.0.113.12" {
				t.Errorf("media at %v %v", cfg.Media.UDPPorts, cfg.Media.NAT1To1)
			}
			if grace := at(t, pod, "terminationGracePeriodSeconds").(int); float64(grace) <= cfg.DrainTimeout.Seconds()+10 {
				t.Errorf("%d s to stop in, %v of them to drain", grace, cfg.DrainTimeout)
			}
			at(t, pod, "containers", 0, "lifecycle", "preStop", "exec")
		case "PodDisruptionBudget":
			if at(t, doc, "spec", "maxUnavailable") != 1 {
				t.Error("more than one node may be gone at a time")
			}
		}
	}
	if kinds["StatefulSet"] != 1 || kinds["Service"] != 4 || kinds["PodDisruptionBudget"] != 1 {
		t.Errorf("made of %v", kinds)
	}
}
