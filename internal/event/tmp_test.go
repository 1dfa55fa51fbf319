package event

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

func recs() (out [][]byte) {
	for i := range typical {
		out = append(out, fmt.Appendf(nil, typical[i], i))
	}
	return
}
func BenchmarkStageA(b *testing.B) {
	p := NewParser()
	rs := recs()
	for b.Loop() {
		for _, r := range rs {
			p.c.run(r, false)
		}
	}
}
func BenchmarkStageB(b *testing.B) {
	p := NewParser()
	rs := recs()
	for b.Loop() {
		for _, r := range rs {
			p.c.run(r, true)
		}
	}
}
func BenchmarkStageC(b *testing.B) {
	p := NewParser()
	rs := recs()
	for b.Loop() {
		for _, r := range rs {
			p.Parse(r)
		}
	}
}
func BenchmarkStageD(b *testing.B) {
	p := NewParser()
	rs := recs()
	for b.Loop() {
		for _, r := range rs {
			p.c.run(r, true)
			p.locate()
			p.event()
		}
	}
}
func BenchmarkStageE(b *testing.B) {
	rs := recs()
	for b.Loop() {
		for _, r := range rs {
			sha256.Sum256(r[:1400])
		}
	}
}
