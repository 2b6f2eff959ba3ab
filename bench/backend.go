package main

import (
	"context"
	"fmt"
	"net"
)

// backendAddresses is how many addresses one nginx of the backend listens on at most: each takes a descriptor, and so
// does each connection to it.
const backendAddresses = 2500

// startBackend starts what the balancers proxy to, and returns the settings that name it. stop is never nil.
func (b *bench) startBackend(ctx context.Context, s scenario) (stop func(), values settings, err error) {
	values = b.settings
	values.Kept = s.kept > 0
	values.Clients += s.kept + s.clients(b.options)
	values.Connections += s.kept + 2*s.clients(b.options) + s.backends
	if s.origin || s.grpc {
		start := startOrigin
		if s.grpc {
			start = startGRPCOrigin
		}
		origin, err := start()
		if err != nil {
			return func() {}, values, err
		}
		values.setBackends([]string{origin.address})
		return origin.stop, values, nil
	}
	first, err := freeAddress()
	if err != nil {
		return func() {}, values, err
	}
	addresses, err := spreadAddresses(first, max(1, s.backends))
	if err != nil {
		return func() {}, values, err
	}
	var started []*running
	stop = func() {
		for _, instance := range started {
			b.fleet.stop(instance.process)
		}
	}
	for from := 0; from < len(addresses); from += backendAddresses {
		own := values
		own.Listen = addresses[from:min(from+backendAddresses, len(addresses))]
		own.Address = own.Listen[0]
		// Every balancer may have its connections to each address open at the same time.
		own.Connections += len(own.Listen) + len(b.subjects)*b.options.workers*len(own.Listen)
		instance, err := backendSubject(b.nginx, fmt.Sprintf("backend%d", len(started)+1)).start(ctx, b.fleet, own, scenario{path: "/"})
		if err != nil {
			return stop, values, err
		}
		started = append(started, instance)
	}
	values.setBackends(addresses)
	return stop, values, nil
}

// spreadAddresses returns n addresses in 127.0.0.0/8 with the port of first, the first of them.
func spreadAddresses(first string, n int) ([]string, error) {
	_, port, err := net.SplitHostPort(first)
	if err != nil {
		return nil, fmt.Errorf("cannot split the address %q: %w", first, err)
	}
	addresses := []string{first}
	for i := 1; i < n; i++ {
		host := net.IPv4(127, 1+byte(i>>16), byte(i>>8), byte(i))
		addresses = append(addresses, net.JoinHostPort(host.String(), port))
	}
	return addresses, nil
}
