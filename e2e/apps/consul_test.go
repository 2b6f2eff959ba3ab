//go:build e2e

package apps

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needConsul returns the path of a Consul agent: LB_CONSUL, an installed one, or one built now, which takes minutes the
// first time. It skips the test if the agent cannot be built or LB_CONSUL is "off".
func needConsul(t *testing.T) string {
	t.Helper()
	switch path := os.Getenv("LB_CONSUL"); path {
	case "":
	case "off":
		t.Skip("LB_CONSUL=off: discovery was not tested against a Consul agent")
	default:
		return path
	}
	if path, err := exec.LookPath("consul"); err == nil {
		return path
	}
	build := exec.Command(filepath.Join(root, "scripts/consul.sh"))
	var trouble strings.Builder
	build.Stderr = &trouble
	out, err := build.Output()
	if err != nil {
		said := trouble.String()
		t.Skipf("no Consul agent: install consul, or name one by LB_CONSUL; scripts/consul.sh could not build it: %v\n%s", err, said[max(0, len(said)-1000):])
	}
	return strings.TrimSpace(string(out))
}

const rootToken = "8a5f7a4e-2f0c-4d8c-9a55-0d0f3c1a7e11" // of a cluster that lives for one test

// consulAgent is a Consul server that is a cluster of its own, on the loopback.
type consulAgent struct {
	*process
	program string
	dir     string
	ports   []string // addresses: of its HTTP API, its name server, and three for internal use
	token   string   // for do; empty: none
}

// startConsul starts an agent with an empty catalogue. The default policy is "allow" or "deny"; empty: no access control.
func startConsul(t *testing.T, policy string) *consulAgent {
	t.Helper()
	c := &consulAgent{program: needConsul(t), dir: t.TempDir(), ports: freePorts(t, 5)}
	c.configure(t, policy)
	c.start(t)
	return c
}

// configure writes the agent's settings, which it reads when it starts.
func (c *consulAgent) configure(t *testing.T, policy string) {
	t.Helper()
	settings := map[string]any{
		"server": true, "bootstrap_expect": 1, "node_name": "one", "data_dir": c.dir + "/data", "log_level": "warn",
		"bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": true,
		"ports": map[string]any{
			"http": number(c.ports[0]), "dns": number(c.ports[1]), "server": number(c.ports[2]),
			"serf_lan": number(c.ports[3]), "serf_wan": number(c.ports[4]), "grpc": -1, "grpc_tls": -1,
		},
		"connect": map[string]any{"enabled": false}, "peering": map[string]any{"enabled": false},
		"performance": map[string]any{"raft_multiplier": 1},
	}
	if policy != "" {
		c.token = rootToken
		settings["acl"] = map[string]any{
			"enabled": true, "default_policy": policy,
			"tokens": map[string]any{"initial_management": rootToken, "agent": rootToken},
		}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	write(t, c.dir, "agent.json", string(text))
}

func number(address string) json.Number { return json.Number(port(address)) }

// start starts or restarts the agent, which keeps its state, and waits until it has elected itself.
func (c *consulAgent) start(t *testing.T) {
	t.Helper()
	c.process = launch(t, nil, c.program, "agent", "-config-file", c.dir+"/agent.json")
	eventually(t, "Consul has a leader and knows itself", func() bool {
		status, body := c.do(http.MethodGet, "/v1/catalog/nodes", "")
		return status == 200 && strings.Contains(body, "127.0.0.1")
	})
}

// do sends a request to the agent; status 0 means that there was no response.
func (c *consulAgent) do(method, path, body string) (status int, reply string) {
	request, err := http.NewRequest(method, "http://"+c.ports[0]+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("X-Consul-Token", c.token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	b, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(b)
}

// put sends a PUT, to which the response must be 200.
func (c *consulAgent) put(t *testing.T, path, body string) (reply string) {
	t.Helper()
	status, reply := c.do(http.MethodPut, path, body)
	if status != 200 {
		t.Fatalf("PUT %s: %d %s", path, status, reply)
	}
	return reply
}

// register adds an instance of the service "app", whose ID is its port. Its check is a definition in JSON.
func (c *consulAgent) register(t *testing.T, address, tag string, weight int, check string) {
	t.Helper()
	c.put(t, "/v1/agent/service/register", fmt.Sprintf(`{"Name": "app", "ID": "app-%s", "Address": "127.0.0.1", "Port": %[1]s,
		"Tags": [%q], "Weights": {"Passing": %d, "Warning": 1}, "Check": %s}`, port(address), tag, weight, check))
}

// set sets the state of an instance that was registered with ttlCheck: "pass", "warn" or "fail".
func (c *consulAgent) set(t *testing.T, address, state string) {
	t.Helper()
	c.put(t, "/v1/agent/check/"+state+"/service:app-"+port(address), "")
}

// ttlCheck is a check whose state is set by set.
const ttlCheck = `{"TTL": "1h", "Status": "passing"}`

func consulConfig(c *consulAgent, more string) string {
	return proxyConfig(fmt.Sprintf("  discover \"consul\" {\n    service = \"app\"\n    address = %q\n%s  }\n", c.ports[0], more))
}

// TestConsul: the pool has the instances that pass and have the tag, with their weights. It keeps them while the agent is
// down, and follows the agent again after its restart; clients notice nothing.
func TestConsul(t *testing.T) {
	consul := startConsul(t, "")
	addresses := freePorts(t, 4)
	var clocks []*process
	for _, a := range addresses {
		clocks = append(clocks, apps["clock"](t, a))
	}
	lb := startLB(t, t.TempDir(), consulConfig(consul, "    tag     = \"v2\"\n"))
	if status, _ := get(lb.url + "/api/time"); status != 503 {
		t.Errorf("with no instance: %d", status)
	}

	consul.register(t, addresses[3], "v1", 1, ttlCheck) // has another tag
	consul.register(t, addresses[0], "v2", 1, ttlCheck)
	lb.awaitPool(t, addresses[0])
	consul.register(t, addresses[1], "v2", 3, ttlCheck)
	lb.awaitPool(t, addresses[0], addresses[1])
	responses := map[string]int{}
	for range 40 {
		_, body := get(lb.url + "/api/time")
		for _, a := range addresses {
			if strings.Contains(body, a) {
				responses[a]++
			}
		}
	}
	if responses[addresses[0]] != 10 || responses[addresses[1]] != 30 {
		t.Errorf("responses %v, want weights 1 and 3, and none of the other tag", responses)
	}

	load := startLoad(lb.url+"/api/time", 4, 200)
	load.until(t, 50)
	for _, state := range []string{"fail", "warn"} {
		consul.set(t, addresses[0], state)
		lb.awaitPool(t, addresses[1])
		consul.set(t, addresses[0], "pass")
		lb.awaitPool(t, addresses[0], addresses[1])
	}
	consul.put(t, "/v1/agent/service/maintenance/app-"+port(addresses[0])+"?enable=true", "")
	lb.awaitPool(t, addresses[1])
	consul.put(t, "/v1/agent/service/maintenance/app-"+port(addresses[0])+"?enable=false", "")
	lb.awaitPool(t, addresses[0], addresses[1])
	consul.register(t, addresses[2], "v2", 1, fmt.Sprintf(`{"HTTP": "http://%s/api/time", "Interval": "1s", "Timeout": "1s", "Status": "passing"}`, addresses[2]))
	lb.awaitPool(t, addresses[:3]...)
	clocks[2].kill() // its requests are retried on another
	lb.awaitPool(t, addresses[:2]...)
	consul.put(t, "/v1/agent/service/deregister/app-"+port(addresses[2]), "")

	for _, a := range addresses[:2] {
		consul.set(t, a, "pass") // the agent keeps the last state set, but not the initial one
	}
	consul.kill()
	lb.keeps(t, "cannot follow service", addresses[:2]...)
	load.until(t, load.served.Load()+50)
	consul.start(t)
	eventually(t, "the log says that Consul works again", func() bool {
		return strings.Contains(lb.out.String(), "Consul reports the service again")
	})
	lb.awaitPool(t, addresses[:2]...)
	consul.put(t, "/v1/agent/service/deregister/app-"+port(addresses[0]), "")
	lb.awaitPool(t, addresses[1])
	load.until(t, load.served.Load()+50)
	if served, failed, first := load.stop(); failed > 0 || served < 150 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
	consul.put(t, "/v1/agent/service/deregister/app-"+port(addresses[1]), "")
	lb.awaitPool(t)
}

// newToken makes a token from its definition in JSON.
func (c *consulAgent) newToken(t *testing.T, definition string) (secret, id string) {
	t.Helper()
	var made struct{ SecretID, AccessorID string }
	if err := json.Unmarshal([]byte(c.put(t, "/v1/acl/token", definition)), &made); err != nil || made.SecretID == "" {
		t.Fatalf("no token: %v", err)
	}
	return made.SecretID, made.AccessorID
}

// TestConsulToken: a token that may read the service is enough; without one the last known set is kept, and the log
// says what to do.
func TestConsulToken(t *testing.T) {
	consul := startConsul(t, "deny")
	address := freePorts(t, 1)[0]
	apps["clock"](t, address)
	consul.register(t, address, "v2", 1, ttlCheck)
	consul.put(t, "/v1/acl/policy", `{"Name": "lb", "Rules": "service \"app\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }"}`)
	token, id := consul.newToken(t, `{"Policies": [{"Name": "lb"}]}`)
	lb := startLB(t, t.TempDir(), consulConfig(consul, fmt.Sprintf("    token   = %q\n", token)))
	lb.awaitPool(t, address)
	if strings.Contains(lb.out.String(), token) {
		t.Error("the token is in the log")
	}

	if status, body := consul.do(http.MethodDelete, "/v1/acl/token/"+id, ""); status != 200 {
		t.Fatalf("cannot delete the token: %d %s", status, body)
	}
	consul.put(t, "/v1/agent/service/register", `{"Name": "app", "ID": "other", "Address": "127.0.0.1", "Port": 9}`) // ends the wait
	lb.keeps(t, "give a token with service:read", address)
	if status, _ := get(lb.url + "/api/time"); status != 200 {
		t.Errorf("without the token: %d", status)
	}
	none := startLB(t, t.TempDir(), consulConfig(consul, ""))
	none.keeps(t, "give one with service:read")
	token, _ = consul.newToken(t, "{}")
	blind := startLB(t, t.TempDir(), consulConfig(consul, fmt.Sprintf("    token   = %q\n", token)))
	blind.keeps(t, "the token may not see its instances")
}

// TestConsulRulesTightened: an agent that starts to deny access does not empty the pool.
func TestConsulRulesTightened(t *testing.T) {
	consul := startConsul(t, "allow")
	address := freePorts(t, 1)[0]
	apps["clock"](t, address)
	consul.register(t, address, "v2", 1, ttlCheck)
	consul.set(t, address, "pass")
	lb := startLB(t, t.TempDir(), consulConfig(consul, ""))
	lb.awaitPool(t, address)
	consul.kill()
	lb.keeps(t, "cannot follow service", address)
	consul.configure(t, "deny")
	consul.start(t)
	lb.keeps(t, "give one with service:read", address)
	if strings.Contains(lb.out.String(), "to=absent") {
		t.Error("the pool was empty in between")
	}
}

// TestConsulByDNS: Consul's name server serves the instances that pass as SRV records.
func TestConsulByDNS(t *testing.T) {
	consul := startConsul(t, "")
	addresses := freePorts(t, 2)
	for _, a := range addresses {
		apps["clock"](t, a)
		consul.register(t, a, "v2", 1, ttlCheck)
	}
	lb := startLB(t, t.TempDir(), proxyConfig(fmt.Sprintf(`  discover "dns" {
    name     = "app.service.consul"
    type     = "SRV"
    interval = "200ms"
    resolver = %q
  }
`, consul.ports[1])))
	lb.awaitPool(t, addresses...)
	consul.set(t, addresses[0], "fail")
	lb.awaitPool(t, addresses[1])
	consul.set(t, addresses[0], "pass")
	lb.awaitPool(t, addresses...)
	consul.set(t, addresses[0], "fail")
	lb.awaitPool(t, addresses[1])
	consul.set(t, addresses[1], "fail")
	lb.keeps(t, "no such record", addresses[1])
	if status, _ := get(lb.url + "/api/time"); status != 200 {
		t.Errorf("with no instance in the response: %d", status)
	}
}
