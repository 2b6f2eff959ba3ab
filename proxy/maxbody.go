package proxy

import "lb/filter"

// MaxBody returns a filter that refuses requests with a body of more than n bytes: at once if the head says so, else when the body exceeds
// it.
func MaxBody(n int64) filter.Request {
	return exchangeFilter(func(x *Exchange) *filter.Refusal {
		switch {
		case x.Request.Length > n:
			return filter.LargeBody
		case x.Request.Length < 0 && x.explained == nil:
			x.client = &boundedClient{x.client, n}
		}
		return nil
	})
}

// boundedClient is a client whose body must not exceed a size.
type boundedClient struct {
	Client
	left int64
}

// Read implements Client.
func (c *boundedClient) Read() ([]byte, error) {
	piece, err := c.Client.Read()
	if c.left -= int64(len(piece)); c.left < 0 {
		return nil, errBodyLarge
	}
	return piece, err
}
