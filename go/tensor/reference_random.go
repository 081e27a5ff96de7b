package tensor

import "math"

// Random values by counter (Philox4x32-10): the same for every device, language and order of drawing.

func (c *call) counterWord(name string, value int) {
	c.atLeast(name, value, 0)
	c.atMost(name, value, math.MaxUint32, "")
}

// RandomInit is documented at Ops.
func (r *Reference) RandomInit(y Buffer, n, start int, seed int64, tensor int) error {
	c := newCall("random_init")
	c.dims(named{"n", n}, named{"start", start})
	c.nothing = n == 0
	c.numbered("start", start, n)
	to := c.out("y", y, dense(n), floats)
	c.counterWord("tensor", tensor)
	return r.submit(c, func() {
		for i := range n {
			to.set(i, InitNormal(uint64(seed), uint64(start+i), uint32(tensor)))
		}
	})
}

// RandomUniform is documented at Ops.
func (r *Reference) RandomUniform(y Buffer, n, start int, seed int64, stream int32, sub int) error {
	c := newCall("random_uniform")
	c.dims(named{"n", n}, named{"start", start})
	c.nothing = n == 0
	c.numbered("start", start, n)
	to := c.out("y", y, dense(n), onlyF32)
	c.counterWord("stream", int(stream))
	c.counterWord("sub", sub)
	return r.submit(c, func() {
		for i := range n {
			to.set(i, Uniform(uint64(seed), uint64(start+i), uint32(stream), uint32(sub)))
		}
	})
}
