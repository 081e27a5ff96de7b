package layer

import "github.com/cuda-nn/cuda-nn/go/tensor"

// RMSNorm is root-mean-square normalisation (Zhang and Sennrich 2019), alone and fused with the residual sum before it:
// y = x rstd weight with rstd = 1 / sqrt(mean(x^2) + eps); weight [hidden_size].
type RMSNorm struct {
	Backend    tensor.Backend
	Weight     *Parameter
	Eps        float64
	Saved      *Workspace
	Name       string
	HiddenSize int
}

// NewRMSNorm makes one whose activations stand in saved under its name.
func NewRMSNorm(backend tensor.Backend, weight *Parameter, eps float64, saved *Workspace, name string) *RMSNorm {
	return &RMSNorm{backend, weight, eps, saved, name, weight.Shape[0]}
}

// Forward: y [rows, hidden_size] f32.
func (n *RMSNorm) Forward(x tensor.Buffer, rows int) (y tensor.Buffer, err error) {
	y = n.Saved.Get(n.Name+".y", rows*n.HiddenSize)
	rstd := n.Saved.Get(n.Name+".rstd", rows)
	return y, tensor.First(
		n.Saved.Err(),
		n.Backend.RMSNormForward(y, rstd, x, n.Weight.Weight, rows, n.HiddenSize, n.Eps),
	)
}

// ForwardResidual: h = x + residual and y the norm of h.
func (n *RMSNorm) ForwardResidual(x, residual tensor.Buffer, rows int) (h, y tensor.Buffer, err error) {
	h = n.Saved.Get(n.Name+".h", rows*n.HiddenSize)
	y = n.Saved.Get(n.Name+".y", rows*n.HiddenSize)
	rstd := n.Saved.Get(n.Name+".rstd", rows)
	return h, y, tensor.First(
		n.Saved.Err(),
		n.Backend.RMSNormResidualForward(y, h, rstd, x, residual, n.Weight.Weight, rows, n.HiddenSize, n.Eps),
	)
}

// Backward: dx from dy; x is the input that forward had. dweight is accumulated.
func (n *RMSNorm) Backward(dx, dy, x tensor.Buffer, rows int) error {
	grad, err := n.Weight.Gradient()
	if err != nil {
		return err
	}
	rstd := n.Saved.Get(n.Name+".rstd", rows)
	return tensor.First(
		n.Saved.Err(),
		n.Backend.RMSNormBackward(dx, grad, dy, x, n.Weight.Weight, rstd, rows, n.HiddenSize),
	)
}

// BackwardResidual: dx = dh + the gradient of dy through the norm of h. dweight is accumulated.
func (n *RMSNorm) BackwardResidual(dx, dy, dh, h tensor.Buffer, rows int) error {
	grad, err := n.Weight.Gradient()
	if err != nil {
		return err
	}
	rstd := n.Saved.Get(n.Name+".rstd", rows)
	return tensor.First(
		n.Saved.Err(),
		n.Backend.RMSNormResidualBackward(dx, grad, dy, dh, h, n.Weight.Weight, rstd, rows, n.HiddenSize),
	)
}
