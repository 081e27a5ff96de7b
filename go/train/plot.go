package train

import (
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
)

// Smoothing is the weight of the past in the moving average.
const Smoothing = 0.98

// PlotLoss draws metrics.jsonl into a PNG, loss.png: the loss of every step, a smoothed line through it, and the held-out
// loss. Errors: those of ReadMetrics, disk_full, cannot_write.
func PlotLoss(metrics, out string) error {
	lines, err := ReadMetrics(metrics)
	if err != nil {
		return err
	}
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "step", "cross entropy, nats per token"
	p.Legend.Top = true
	p.Legend.XOffs, p.Legend.YOffs = -vg.Points(8), -vg.Points(8)
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(roundTicks), plot.TickerFunc(roundTicks)
	for _, style := range []*draw.TextStyle{
		&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle,
	} {
		style.Font.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{0xe0}, color.Gray{0xe0}
	p.Add(grid)
	losses := series(lines, "cross_entropy")
	for _, curve := range []struct {
		points plotter.XYs
		label  string
		color  color.RGBA
		width  vg.Length
	}{
		{losses, "step", color.RGBA{0x9d, 0xb8, 0xd9, 0xff}, 0.6},
		{smoothedSeries(losses), "smoothed", color.RGBA{0x1f, 0x4e, 0x8c, 0xff}, 1.6},
		{series(lines, "heldout_loss"), "held out", color.RGBA{0xc4, 0x53, 0x2b, 0xff}, 1.4},
	} {
		if len(curve.points) == 0 {
			continue
		}
		line, err := plotter.NewLine(curve.points)
		if err != nil {
			return err
		}
		line.Color, line.Width = curve.color, vg.Points(float64(curve.width))
		p.Add(line)
		p.Legend.Add(curve.label, line)
	}
	widen(&p.X)
	widen(&p.Y)
	canvas := vgimg.NewWith(vgimg.UseWH(8*vg.Inch, 4.5*vg.Inch), vgimg.UseDPI(150))
	margin := vg.Points(10) // what stands at the edge is drawn whole
	p.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	return files.WriteFile(out, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}

// widen opens an axis whose range is no more than rounding, as that of a loss that stays the same.
func widen(axis *plot.Axis) {
	if least := 1e-9 * max(1, math.Abs(axis.Min)); axis.Max-axis.Min < least {
		middle, half := axis.Min, 0.5*max(1, math.Abs(axis.Min))
		axis.Min, axis.Max = middle-half, middle+half
	}
}

// roundTicks are the multiples of 1, 2 or 5 times a power of ten that lie in the range, at most ten.
func roundTicks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/10)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= 9 {
			step *= factor
			break
		}
	}
	// The multiples are counted by an integer: a float that counts stands still where its ulp is above 1.
	first := math.Ceil(low / step)
	var ticks []plot.Tick
	for i := range 10 {
		value := (first + float64(i)) * step
		if !(value <= high) {
			break
		}
		ticks = append(ticks, plot.Tick{Value: value, Label: strconv.FormatFloat(value, 'g', 6, 64)})
	}
	return ticks
}

func series(lines []*jsonstrict.Object, field string) plotter.XYs {
	var points plotter.XYs
	for _, line := range lines {
		step, okStep := line.Get("step").(int)
		value, okValue := line.Get(field).(float64)
		if okStep && okValue {
			points = append(points, plotter.XY{X: float64(step), Y: value})
		}
	}
	return points
}

func smoothedSeries(points plotter.XYs) plotter.XYs {
	values := make([]float64, len(points))
	for i, point := range points {
		values[i] = point.Y
	}
	smooth := make(plotter.XYs, len(points))
	for i, value := range Smoothed(values) {
		smooth[i] = plotter.XY{X: points[i].X, Y: value}
	}
	return smooth
}

// Smoothed is the exponential moving average, corrected for its start; values that are not finite are passed over.
func Smoothed(values []float64) []float64 {
	out := make([]float64, len(values))
	total, weight := 0.0, 0.0
	for i, value := range values {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			total = Smoothing*total + (1-Smoothing)*value
			weight = Smoothing*weight + (1 - Smoothing)
		}
		out[i] = value
		if weight > 0 {
			out[i] = total / weight
		}
	}
	return out
}
