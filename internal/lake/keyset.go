package lake

// keySet numbers keys from 0 in the order they are added. It takes 20 to 24
// bytes a key; a map would take twice that, and a merge holds every key of its
// input.
type keySet struct {
	n      int32
	hashes [][]hash128 // in chunks: one slice would be copied as it grows
	table  []int32     // open addressing: number + 1, or 0; its length is a power of 2
}

const setChunk = 4096

func (s *keySet) hash(i int32) hash128 { return s.hashes[i/setChunk][i%setChunk] }

// place returns where in the table the key is, or belongs.
func (s *keySet) place(h hash128) int {
	mask := len(s.table) - 1
	for p := int(h.Lo) & mask; ; p = (p + 1) & mask {
		if i := s.table[p]; i == 0 || s.hash(i-1) == h {
			return p
		}
	}
}

// find returns the key's number.
func (s *keySet) find(h hash128) (int32, bool) {
	if s.n == 0 {
		return 0, false
	}
	i := s.table[s.place(h)]
	return i - 1, i > 0
}

// add adds the key if it isn't there, and returns its number.
func (s *keySet) add(h hash128) (i int32, added bool) {
	if int(s.n)*4 >= len(s.table)*3 {
		s.grow()
	}
	p := s.place(h)
	if s.table[p] > 0 {
		return s.table[p] - 1, false
	}
	s.hashes = appendChunked(s.hashes, h)
	s.n++
	s.table[p] = s.n
	return s.n - 1, true
}

// appendChunked appends to the last chunk, or begins one. The first grows with
// what is in it, for most days are small.
func appendChunked[T any](chunks [][]T, v T) [][]T {
	last := len(chunks) - 1
	switch {
	case last < 0:
		chunks = append(chunks, make([]T, 0, 64))
		last++
	case len(chunks[last]) == setChunk:
		chunks = append(chunks, make([]T, 0, setChunk))
		last++
	}
	chunks[last] = append(chunks[last], v)
	return chunks
}

func (s *keySet) grow() {
	s.table = make([]int32, max(64, 2*len(s.table)))
	for i := range s.n {
		s.table[s.place(s.hash(i))] = i + 1
	}
}
