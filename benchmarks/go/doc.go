// Package gobench times the cases of ../cases.json in Go, under testing.B:
//
//	go test -bench .
//
// What is run, and where the rows go, stands in the BENCH_ variables (see Protocol): each (case, row) is checked, timed,
// and written in the form that the harness of every language writes. What go test prints is for benchstat:
//
//	go test -bench . -run '^$' >old.txt; ...; go tool benchstat old.txt new.txt
package gobench
