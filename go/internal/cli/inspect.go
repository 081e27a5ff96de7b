package cli

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
)

func (a *app) inspect() *cobra.Command {
	var c common
	var folder, prompt, page string
	command := &cobra.Command{
		Use: "inspect", Short: "Show the experts chosen per token and layer, the router's entropy and the load per expert.",
	}
	path(command, &folder, "model", "", "a checkpoint folder")
	text(command, &prompt, "prompt", "", "the text to look at")
	path(command, &page, "html", "", "a page to write: tokens by layers, coloured by expert")
	c.add(command, "device", "threads", "ntk-alpha", "json")
	needs(command, "model prompt")
	command.RunE = func(*cobra.Command, []string) error {
		if prompt == "" {
			return messages.EmptyPrompt()
		}
		tok, err := modelTokenizer(folder)
		if err != nil {
			return err
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		loaded, err := c.load(command, folder, backend)
		if err != nil {
			return err
		}
		ids := encode(tok, prompt)
		layers, err := model.InspectRouting(loaded, ids)
		if err != nil {
			return err
		}
		pieces := make([]string, len(ids))
		for i, id := range ids {
			pieces[i] = tok.Decode([]int{id})
		}
		if command.Flags().Changed("html") {
			if err := files.WriteFile(page, files.Content(renderPage(pieces, layers, loaded.Config.NExperts))); err != nil {
				return err
			}
		}
		if c.json {
			return a.print(inspection(prompt, ids, pieces, layers), true)
		}
		return showRouting(a.out, pieces, layers, loaded.Config.NExperts)
	}
	return command
}

func showRouting(out io.Writer, pieces []string, layers []model.LayerRouting, nExperts int) error {
	var text strings.Builder
	limit := math.Log(float64(nExperts))
	for number, layer := range layers {
		fmt.Fprintf(&text, "layer %d: entropy %.3f of %.3f nats\n", number, mean(layer.Entropy), limit)
		fmt.Fprintf(&text, "  load %s\n", strings.Join(loads(layer), "  "))
	}
	for position, piece := range pieces {
		var chosen []string
		for _, layer := range layers {
			chosen = append(chosen, choices(layer, position))
		}
		quoted := pythonQuote(piece)
		padding := strings.Repeat(" ", max(0, 20-utf8.RuneCountInString(quoted)))
		fmt.Fprintf(&text, "%5d  %s%s  %s\n", position, quoted, padding, strings.Join(chosen, "  "))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func mean(values []float64) float64 {
	total := 0.0
	for _, value := range values {
		total += value
	}
	return total / float64(len(values))
}

func loads(layer model.LayerRouting) []string {
	var words []string
	for expert, share := range layer.Load {
		words = append(words, fmt.Sprintf("%d: %.1f%%", expert, share*100))
	}
	return words
}

func choices(layer model.LayerRouting, position int) string {
	var words []string
	for _, expert := range layer.Experts[position*layer.TopK : (position+1)*layer.TopK] {
		words = append(words, strconv.Itoa(int(expert)))
	}
	return strings.Join(words, "+")
}

// inspection is the fields of --json.
func inspection(prompt string, ids []int, pieces []string, layers []model.LayerRouting) *jsonstrict.Object {
	tokens := make([]jsonstrict.Value, len(pieces))
	for i, piece := range pieces {
		tokens[i] = piece
	}
	described := make([]jsonstrict.Value, len(layers))
	for i, layer := range layers {
		var experts, weights []jsonstrict.Value
		for at := 0; at < len(layer.Experts); at += layer.TopK {
			experts = append(experts, integers(layer.Experts[at:at+layer.TopK]))
			weights = append(weights, numbers(layer.Weights[at:at+layer.TopK]))
		}
		described[i] = jsonstrict.NewObject(
			"experts", experts, "weights", weights, "entropy", numbers(layer.Entropy), "load", numbers(layer.Load))
	}
	return jsonstrict.NewObject("prompt", prompt, "ids", integers(ids), "tokens", tokens, "layers", described)
}

func numbers[T float32 | float64](values []T) []jsonstrict.Value {
	list := make([]jsonstrict.Value, len(values))
	for i, value := range values {
		list[i] = float64(value)
	}
	return list
}

// pythonQuote is text as nn-py shows it: in single quotes, unless it has those and no double ones, and with escapes for
// what cannot be seen.
func pythonQuote(text string) string {
	quote := '\''
	if strings.ContainsRune(text, '\'') && !strings.ContainsRune(text, '"') {
		quote = '"'
	}
	var out strings.Builder
	out.WriteRune(quote)
	for _, r := range text {
		switch {
		case r == quote || r == '\\':
			out.WriteRune('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case unicode.IsPrint(r):
			out.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	out.WriteRune(quote)
	return out.String()
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;")

// renderPage is one self-contained page: a row per token, a cell per layer, the first expert's colour, all choices in
// words.
func renderPage(pieces []string, layers []model.LayerRouting, nExperts int) string {
	var head, rows, load strings.Builder
	for number, layer := range layers {
		fmt.Fprintf(&head, "<th>%d</th>", number)
		fmt.Fprintf(&load, "<p>layer %d: mean entropy %.3f of %.3f nats; load %s</p>",
			number, mean(layer.Entropy), math.Log(float64(nExperts)), strings.Join(loads(layer), ", "))
	}
	for position, piece := range pieces {
		if position > 0 {
			rows.WriteByte('\n')
		}
		fmt.Fprintf(&rows, "<tr><th><code>%s</code></th>", htmlEscapes.Replace(pythonQuote(piece)))
		for _, layer := range layers {
			var words []string
			for at := position * layer.TopK; at < (position+1)*layer.TopK; at++ {
				words = append(words, fmt.Sprintf("expert %d: %.2f", layer.Experts[at], layer.Weights[at]))
			}
			hue := 360 * int(layer.Experts[position*layer.TopK]) / nExperts
			fmt.Fprintf(&rows, `<td style="--hue:%d" title="%s">%s</td>`, hue, strings.Join(words, ", "), choices(layer, position))
		}
		rows.WriteString("</tr>")
	}
	return strings.NewReplacer("{head}", head.String(), "{rows}", rows.String(), "{loads}", load.String()).Replace(pageTemplate)
}

const pageTemplate = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Experts per token and layer</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 1.5rem; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.15rem 0.5rem; text-align: center; white-space: nowrap; }
tbody th { text-align: left; font-weight: normal; position: sticky; left: 0; background: Canvas; }
td { background: hsl(var(--hue) 60% 50% / 35%); }
div { overflow-x: auto; }
</style>
<h1>Experts per token and layer</h1>
<p>Each cell names the chosen experts, best first; its colour is that of the first. Hover for the weights.</p>
<div><table><thead><tr><th>token</th>{head}</tr></thead><tbody>
{rows}
</tbody></table></div>
<h2>Load</h2>
{loads}
</html>
`
