package tokenizer

import "container/heap"

// bpe joins the bytes of a word into tokens (Sennrich et al. 2016): of the neighbouring pairs that have a merge, the one
// of the lowest rank is joined first, of equal ones the leftmost.
type bpe struct {
	ids          map[string]uint32
	bytes        [256]int // id of each byte's character, -1 for none
	merges       map[pair]merge
	ignoreMerges bool
}

type pair struct{ left, right uint32 }

type merge struct {
	rank int
	id   uint32
}

// symbol is a token of the word so far, in a doubly linked list; one that was joined into its left neighbour is gone.
type symbol struct {
	id         uint32
	prev, next int
	gone       bool
}

// candidate is a pair that could be joined; it is out of date when one of the two has changed since.
type candidate struct {
	rank, at int
	pair     pair
	id       uint32
}

type queue []candidate

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}
func (q queue) Swap(i, j int)  { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(item any) { *q = append(*q, item.(candidate)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	item := (*q)[last]
	*q = (*q)[:last]
	return item
}

func (b *bpe) encode(word string) []uint32 {
	if b.ignoreMerges {
		if id, there := b.ids[byteCharacters(word)]; there {
			return []uint32{id}
		}
	}
	symbols := make([]symbol, 0, len(word))
	for i := range len(word) {
		if id := b.bytes[word[i]]; id >= 0 { // a byte that the vocabulary lacks becomes nothing, as in the library
			at := len(symbols)
			symbols = append(symbols, symbol{id: uint32(id), prev: at - 1, next: at + 1})
		}
	}
	var waiting queue
	look := func(at int) {
		if at < 0 || symbols[at].next >= len(symbols) {
			return
		}
		both := pair{symbols[at].id, symbols[symbols[at].next].id}
		if found, there := b.merges[both]; there {
			heap.Push(&waiting, candidate{found.rank, at, both, found.id})
		}
	}
	for at := range symbols {
		look(at)
	}
	for len(waiting) > 0 {
		best := heap.Pop(&waiting).(candidate)
		left := &symbols[best.at]
		if left.gone || left.next >= len(symbols) || left.id != best.pair.left || symbols[left.next].id != best.pair.right {
			continue
		}
		right := &symbols[left.next]
		left.id, right.gone = best.id, true
		left.next = right.next
		if right.next < len(symbols) {
			symbols[right.next].prev = best.at
		}
		look(left.prev)
		look(best.at)
	}
	ids := make([]uint32, 0, len(symbols))
	for at := 0; at < len(symbols); at = symbols[at].next {
		ids = append(ids, symbols[at].id)
	}
	return ids
}
