package server_test

import (
	"fmt"
	"testing"

	"lb/internal/lbtest"
)

// hashUsers sends two requests for each of a few users and returns the backends that served them. It fails the test if two
// backends served the same user.
func hashUsers(t *testing.T, lb *running) map[string]string {
	t.Helper()
	owners := map[string]string{}
	for range 2 {
		for i := range 60 {
			user := fmt.Sprint("user-", i)
			r := lb.get("/", "X-User: "+user)
			if r.Status() != 200 {
				t.Fatalf("%s got %d", user, r.Status())
			}
			if before, ok := owners[user]; ok && before != r.Body {
				t.Errorf("%s was served by %s and then by %s", user, before, r.Body)
			}
			owners[user] = r.Body
		}
	}
	return owners
}

// TestHashKeepsUsers: with hash on a header field, a user stays on one backend, which has its share of the users. When a backend
// fails, hardly any other users move.
func TestHashKeepsUsers(t *testing.T) {
	backends := map[string]*lbtest.Backend{}
	var addrs []string
	for _, name := range []string{"a", "b", "c"} {
		b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK(name)))
		backends[name] = b
		addrs = append(addrs, b.Addr)
	}
	const hash = "  balance = \"hash\"\n  hash_key = \"header:X-User\"\n  eject {\n    duration = \"1h\"\n  }\n"
	lb := start(t, proxyTo(hash, addrs...))
	before := hashUsers(t, lb)
	counts := map[string]int{}
	for _, owner := range before {
		counts[owner]++
	}
	for name := range backends {
		if counts[name] < 8 {
			t.Errorf("%s has %d of 60 users", name, counts[name])
		}
	}

	// The order in the file does not matter.
	if err := lb.reload(proxyTo(hash, addrs[2], addrs[0], addrs[1])); err != nil {
		t.Fatal(err)
	}
	for user, owner := range hashUsers(t, lb) {
		if owner != before[user] {
			t.Errorf("%s moved from %s to %s by a reload", user, before[user], owner)
		}
	}

	dead := before["user-0"]
	backends[dead].Kill()
	lbtest.Eventually(t, dead+" is ejected", func() bool {
		lb.get("/", "X-User: user-0")
		return lb.metric(`lb_backend_state{pool="app",backend="`+backends[dead].Addr+`",state="ejected"}`) == "1"
	})
	moved := 0
	for user, owner := range hashUsers(t, lb) {
		if owner == dead {
			t.Errorf("%s was served by %s, which is down", user, dead)
		}
		if before[user] != dead && owner != before[user] {
			moved++
		}
	}
	// About two in a hundred of the others move with a Maglev table, and half of them with a simple remainder.
	if moved > 6 {
		t.Errorf("%d users moved whose backend is up", moved)
	}
}

// TestHashWithoutTheHeader: without the header field, the client's address is hashed, which is always the same here.
func TestHashWithoutTheHeader(t *testing.T) {
	var addrs []string
	for _, name := range []string{"a", "b", "c"} {
		addrs = append(addrs, lbtest.NewBackend(t, lbtest.Respond(lbtest.OK(name))).Addr)
	}
	lb := start(t, proxyTo("  balance = \"hash\"\n  hash_key = \"cookie:sid\"\n", addrs...))
	owner := lb.get("/").Body
	for i := range 20 {
		if r := lb.get(fmt.Sprint("/", i), "Cookie: other=1"); r.Body != owner {
			t.Errorf("request %d was served by %q, the first by %q", i, r.Body, owner)
		}
	}
}
