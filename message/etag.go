package message

import "bytes"

// NextETag returns the first of a list of entity tags (RFC 9110 section 8.8.3) with its quotes, whether it is weak, and the rest of the
// list. "*" is returned as such. tag is nil at the end of the list, which is also where its syntax is wrong.
func NextETag(list []byte) (tag []byte, weak bool, rest []byte) {
	list = bytes.TrimLeft(list, " \t,")
	if len(list) > 0 && list[0] == '*' {
		return list[:1], false, list[1:]
	}
	list, weak = bytes.CutPrefix(list, []byte("W/"))
	if len(list) == 0 || list[0] != '"' {
		return nil, false, nil
	}
	end := bytes.IndexByte(list[1:], '"')
	if end < 0 {
		return nil, false, nil
	}
	return list[:end+2], weak, list[end+2:]
}
