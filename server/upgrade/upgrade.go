// Package upgrade replaces a running process by a new one without a closed port in between: the old one starts the new
// one, hands it the listening sockets, and ends when the new one serves.
package upgrade

import (
	"time"
)

// variable tells a new process which descriptors it takes over from the one that started it.
const variable = "LB_HANDOVER"

// descriptors is what stands in that variable: descriptor numbers and nothing else, since other programs can read a
// process's environment (/proc/PID/environ).
type descriptors struct {
	Listeners map[string]int               `json:"listeners"`         // by the address as configured
	Admin     map[string]int               `json:"admin"`             // none, or one
	Packets   map[string]packetDescriptors `json:"packets,omitempty"` // by the address as configured
	Secret    int                          `json:"secret"`            // where to read the secret; 0: nowhere
	Overrides int                          `json:"orders"`            // where to read the overrides, after overridesWanted was written; 0: nowhere
	Ready     int                          `json:"ready"`             // where a byte is written once the new process serves
}

// packetDescriptors are the descriptors of a UDP socket.
type packetDescriptors struct {
	UDP  int    `json:"udp"`
	Link int    `json:"link"` // to the process that hands it over
	Tags []byte `json:"tags"` // of the connections that it has
}

const (
	// Patience is how long a new process may take until it serves.
	Patience = 30 * time.Second
	// overridesWanted is what a new process writes to Ready when it is about to serve and asks for the overrides.
	overridesWanted = 'o'
)
