package server_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// costlyAsked are the requests of FuzzCostOfResponses, by the kind of relay that they need.
var costlyAsked = []string{
	"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /rewritten/ HTTP/1.1\r\nHost: a\r\n\r\n", // buffered
	"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
}

// FuzzCostOfResponses: no response of a backend costs the balancer much more CPU time than a harmless one of the same size.
func FuzzCostOfResponses(f *testing.F) {
	var response atomic.Pointer[[]byte]
	lb := startCostly(f, func(c *lbtest.Conn) {
		if c.ReadHead() != "" {
			_, _ = c.Write(*response.Load())
		}
	})
	for _, seed := range costlyResponses {
		for kind := range costlyAsked {
			f.Add([]byte(seed.pattern), seed.size, byte(kind))
		}
	}
	f.Fuzz(func(t *testing.T, pattern []byte, size uint16, kind byte) {
		text := lbtest.Stretch(pattern, int(size))
		if len(text) > 128<<10 {
			return
		}
		usual := []byte(harmlessResponse(len(text)))
		asked := []byte(proxyLine(false) + costlyAsked[int(kind)%len(costlyAsked)])
		ask := func(text []byte) func() {
			return func() {
				response.Store(&text)
				lb.stream(asked)
			}
		}
		lbtest.CheckCost(t, lbtest.OfProcess, ask(text), ask(usual))
	})
}

// harmlessResponse returns a response of that size.
func harmlessResponse(size int) string {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
	length := max(0, size-len(head))
	return fmt.Sprintf(head, length, strings.Repeat("a", length))
}

// costlyResponses are responses that were once too expensive in some program, or might be.
var costlyResponses = []costlySeed{
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 100},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: «,»\r\n«900*A:b\r\n»\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: «15*abcdefgh,»\r\n«abcdefgi: b\r\n»\r\n", 14_000},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n«900*X-One: a\r\nServer: b\r\n»\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: «b»\r\n\r\n", 60_000},
	{"HTTP/1.1 200 «a»\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n«A: b\n»\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n«900*Set-Cookie: lb=a; b; c\r\n»\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVary: «a,»\r\nContent-Type: «text;»\r\n«400*Keep-Alive: ,\r\n»\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\n«Content-Length: 0\r\n»\r\n", 16_000},
	{"«\r\n»HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"HTTP/1.1 100 Continue\r\n\r\n«\r\n»HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"«100*HTTP/1.1 100 Continue\r\n\r\n»HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"«100*HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n»HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"«HTTP/1.1 102 \r\n\r\n»HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"HTTP/1.1 103 Early Hints\r\nLink: «</a>; rel=preload, »\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 60_000},
	{"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x«,y»\r\n\r\n", 60_000},
	{"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n«\x82\x01a»", 60_000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n«1\r\na\r\n»0\r\n\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n«1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n»0\r\n\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n«000000000000001\r\na\r\n»0\r\n\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n«10;a\r\n0123456789abcdef\r\n»0\r\n\r\n", 60_000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: «a,»\r\n\r\n0\r\n«900*A: b\r\n»\r\n", 16_000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: «15*a,»\r\n\r\n0\r\n«b: c\r\n»\r\n", 6000},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: «b»\r\n\r\n", 16_000},
	{"HTTP/1.1 200 OK\r\n\r\n«a»", 60_000},
	{"HTTP/1.1 503 No\r\nContent-Length: 60000\r\n\r\n«a»", 60_000},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 60000\r\n\r\n«a»", 60_000},
	{"«HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n»", 60_000},
	{"«HTTP/1.1 »", 60_000},
	{"«\x00»", 60_000},
}
