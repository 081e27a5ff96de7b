package train

// The learning rate over a run: linear warm-up, then half a cosine. f64 with + - * / only, one order of evaluation, so
// that every language computes the same bits; float64(a*b)+c keeps Go from fusing the two.

// cosPi is (-1)^k pi^(2k) / (2k)!, k = 0 .. 10: the Taylor series of cos(pi x) in x^2. The first term left out is below
// 2e-17 for x <= 1/2.
var cosPi = [...]float64{
	1.0,
	-4.934802200544679,
	4.0587121264167685,
	-1.3352627688545895,
	0.2353306303588932,
	-0.02580689139001406,
	0.0019295743094039231,
	-0.0001046381049248457,
	4.303069587032947e-06,
	-1.3878952462213771e-07,
	3.604730797462501e-09,
}

// CosPi is cos(pi x) for 0 <= x <= 1, within 1e-15; exactly 1 at 0 and -1 at 1.
//
// Above 1/2 it is -cos(pi (1 - x)); the series is summed by Horner's rule from the last term.
func CosPi(x float64) float64 {
	if x > 0.5 {
		return -CosPi(1 - x)
	}
	y := x * x
	total := cosPi[10]
	for k := 9; k >= 0; k-- {
		total = float64(total*y) + cosPi[k]
	}
	return total
}

// Schedule is the Peak and Final learning rate, the steps of the whole run, and the share of them that warms up.
type Schedule struct {
	Steps  int
	Peak   float64
	Final  float64
	Warmup float64
}

// WarmupSteps is W = floor(warmup steps).
func (s Schedule) WarmupSteps() int { return int(s.Warmup * float64(s.Steps)) }

// LearningRate is for step s = 0, 1, ...: peak (s+1)/W below W, then with p = (s-W)/(steps-W), at most 1, and
// h = (1 + cos(pi p))/2: peak h + final (1-h).
func (s Schedule) LearningRate(step int) float64 {
	warmup := s.WarmupSteps()
	if step < warmup {
		return s.Peak * (float64(step+1) / float64(warmup))
	}
	if step >= s.Steps {
		return s.Final
	}
	progress := float64(step-warmup) / float64(s.Steps-warmup)
	half := 0.5 * (1 + CosPi(progress))
	return float64(s.Peak*half) + float64(s.Final*(1-half))
}
