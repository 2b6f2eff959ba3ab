package fieldsection

import "lb/message"

// ReadPriority reads the value of a Priority field (RFC 9218 section 4). It returns the urgency, from 0, the most urgent, to 7, and whether
// pieces of the response are of use on their own. What the value does not say stays as it was, and what is not understood is ignored.
func ReadPriority(value []byte, urgency uint8, incremental bool) (uint8, bool) {
	for len(value) > 0 {
		var item []byte
		item, value = message.NextListItem(value)
		switch {
		case len(item) == 3 && item[0] == 'u' && item[1] == '=' && '0' <= item[2] && item[2] <= '7':
			urgency = item[2] - '0'
		case string(item) == "i", string(item) == "i=?1":
			incremental = true
		case string(item) == "i=?0":
			incremental = false
		}
	}
	return urgency, incremental
}
