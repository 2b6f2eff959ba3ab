package front

// Connections returns how many connections are open, and how many have been accepted since
// the socket was bound.
func (l *Listener) Connections() (open int64, accepted uint64) {
	return int64(l.socket.count()), l.socket.metrics.accepted.Get()
}
