package tensor

import (
	"math"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
)

func TestPhilox(t *testing.T) {
	var cases struct {
		Philox []struct {
			Seed, Index string
			Stream, Sub uint32
			Words       [4]uint32
		}
		Init []struct {
			Seed, Start string
			Tensor      uint32
			Values      []string
		}
		MulHi64 [][3]string `json:"mulhi64"`
		BF16    [][2]string `json:"bf16_from_f32"`
	}
	testcases.Host(t, "numbers.json", &cases)
	for _, c := range cases.Philox {
		if got := Philox(testcases.U64(t, c.Seed), testcases.U64(t, c.Index), c.Stream, c.Sub); got != c.Words {
			t.Errorf("philox %+v: got %v", c, got)
		}
	}
	for _, c := range cases.Init {
		for i, want := range c.Values {
			got := InitNormal(testcases.U64(t, c.Seed), testcases.U64(t, c.Start)+uint64(i), c.Tensor)
			if uint64(math.Float32bits(got)) != testcases.Bits(t, want) {
				t.Errorf("init %+v: element %d is %v", c, i, got)
			}
		}
	}
	for _, c := range cases.MulHi64 {
		if got := MulHi64(testcases.U64(t, c[0]), testcases.U64(t, c[1])); got != testcases.U64(t, c[2]) {
			t.Errorf("mulhi64 %v: got %d", c, got)
		}
	}
	for _, c := range cases.BF16 {
		got := BF16FromF32(math.Float32frombits(uint32(testcases.Bits(t, c[0]))))
		if uint64(got) != testcases.Bits(t, c[1]) {
			t.Errorf("bf16 of %s: got %04x, want %s", c[0], got, c[1])
		}
	}
	if len(cases.Philox) == 0 || len(cases.Init) == 0 || len(cases.MulHi64) == 0 || len(cases.BF16) == 0 {
		t.Error("a list of cases is empty")
	}
}

// Every half there is goes to f32 and back; values between two halves go to the nearer, ties to the even one.
func TestF16(t *testing.T) {
	for half := range uint32(0x7C00) {
		low, high := F32FromF16(uint16(half)), F32FromF16(uint16(half+1))
		if got := F16FromF32(low); got != uint16(half) {
			t.Fatalf("%04x became %v and then %04x", half, low, got)
		}
		if half == 0x7BFF {
			high = 65536 // as if the exponent went on
		}
		middle := low + (high-low)/2
		even := uint16(half + half&1)
		for _, c := range []struct {
			value float32
			want  uint16
		}{
			{middle, even},
			{math.Nextafter32(middle, 0), uint16(half)},
			{math.Nextafter32(middle, high), uint16(half + 1)},
			{-middle, even | 0x8000},
		} {
			if got := F16FromF32(c.value); got != c.want {
				t.Fatalf("%v became %04x, expected %04x", c.value, got, c.want)
			}
		}
	}
	if got := F16FromF32(float32(math.NaN())); got&0x7C00 != 0x7C00 || got&0x3FF == 0 {
		t.Errorf("NaN became %04x", got)
	}
}
