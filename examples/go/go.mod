module example

go 1.26.0

require github.com/cuda-nn/cuda-nn/go v0.0.0

require (
	golang.org/x/text v0.43.0 // indirect
	gonum.org/v1/gonum v0.17.0 // indirect
)

replace github.com/cuda-nn/cuda-nn/go => ../../go
