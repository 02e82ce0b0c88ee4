package report

import (
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"secure-dns-proxy/bench/figure"
	"secure-dns-proxy/bench/server"
)

const (
	plotColumns = 2
	panelWidth  = 16 * vg.Centimeter
	rowHeight   = 0.72 * vg.Centimeter // per program
	panelMargin = 2.9 * vg.Centimeter  // title and axis
	headHeight  = 1.6 * vg.Centimeter
	barWidth    = 0.42 * vg.Centimeter
	plotDPI     = 110
	// plotReach cuts the axis at so many times the tuned dnsdist: beyond it a bar's end says nothing and its label all.
	plotReach = 1.8
	// labelRoom is the part of the axis kept free for labels.
	labelRoom = 1.75
)

var (
	userColour     = color.RGBA{0x1f, 0x5a, 0x96, 0xff}
	systemColour   = color.RGBA{0x9c, 0xc3, 0xe6, 0xff}
	ourUser        = color.RGBA{0xb4, 0x46, 0x0c, 0xff}
	ourSystem      = color.RGBA{0xf7, 0xb7, 0x7e, 0xff}
	gridColour     = color.Gray{0xdd}
	smallFontSize  = vg.Points(9)
	legendFontSize = vg.Points(11)
)

// WritePlot draws CPU time per answer, user and system, of every program in every scenario that has a chart.
func (r *Results) WritePlot(path string) error {
	var panels []*plot.Plot
	most := 0
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if !s.Chart {
			continue
		}
		panel, bars, err := r.panel(s)
		if err != nil {
			return fmt.Errorf("plot (%s): %w", s.ID, err)
		}
		if bars > 0 {
			panels, most = append(panels, panel), max(most, bars)
		}
	}
	if len(panels) == 0 {
		return nil
	}
	return r.draw(panels, most, path)
}

// bar is one program in a panel.
type bar struct {
	title        string
	ours         bool
	user, system float64
	label        string
}

// bars of a scenario, the first program last, as an axis grows upward.
func (r *Results) bars(s *Scenario) []bar {
	var bars []bar
	for i := len(s.Rows) - 1; i >= 0; i-- {
		row := &s.Rows[i]
		cpu, ok := row.Summary[figure.CPU]
		if !ok {
			continue
		}
		b := bar{title: r.Title(row.Program), ours: row.Program == server.URing || row.Program == server.Mmsg, user: row.Summary[figure.User].Median}
		b.system = max(0, cpu.Median-b.user)
		b.label = fmt.Sprintf(" %s us (%s..%s), %.0f kq/s", number(cpu.Median), number(cpu.Min), number(cpu.Max), row.Summary[figure.QPS].Median/1000)
		if spread, err := figure.Ratio(s.Of(server.DnsdistTuned).Turns, row.Turns, figure.CPU); err == nil && row.Program != server.DnsdistTuned {
			b.label += fmt.Sprintf(", %.2fx tuned", spread.Median)
		}
		bars = append(bars, b)
	}
	return bars
}

func (r *Results) panel(s *Scenario) (*plot.Plot, int, error) {
	bars := r.bars(s)
	p := plot.New()
	p.Title.Text = fmt.Sprintf("(%s) %s", s.ID, s.Title)
	p.X.Label.Text = "CPU time of the server per answer, us"
	p.X.Min, p.X.Max = 0, reach(s, bars)*labelRoom
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size, p.X.Label.TextStyle.Font.Size = smallFontSize, smallFontSize, smallFontSize
	p.Y.Min, p.Y.Max = -0.6, float64(len(bars))-0.4
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Width = gridColour, 0
	p.Add(grid)
	names := make([]string, len(bars))
	labels := plotter.XYLabels{}
	for i, b := range bars {
		names[i] = b.title
		if err := addBar(p, b, i); err != nil {
			return nil, 0, err
		}
		labels.XYs = append(labels.XYs, plotter.XY{X: min(b.user+b.system, p.X.Max/labelRoom), Y: float64(i)})
		if b.user+b.system > p.X.Max/labelRoom {
			b.label += " (bar cut)"
		}
		labels.Labels = append(labels.Labels, b.label)
	}
	texts, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, 0, err
	}
	for i := range texts.TextStyle {
		texts.TextStyle[i].Font.Size, texts.TextStyle[i].YAlign = smallFontSize, text.YCenter
	}
	p.Add(texts)
	p.NominalY(names...)
	return p, len(bars), nil
}

// reach is how long the axis is: the tuned dnsdist and ours are wholly on it.
func reach(s *Scenario, bars []bar) float64 {
	longest, limit := 0.0, plotReach*s.Of(server.DnsdistTuned).Summary[figure.CPU].Median
	for _, b := range bars {
		if b.ours {
			limit = max(limit, 1.05*(b.user+b.system))
		}
		longest = max(longest, b.user+b.system)
	}
	if limit > 0 {
		return min(longest, limit)
	}
	return longest
}

// addBar draws the two parts of one bar, cut at the end of the axis.
func addBar(p *plot.Plot, b bar, at int) error {
	end := p.X.Max / labelRoom
	colours := []color.Color{userColour, systemColour}
	if b.ours {
		colours = []color.Color{ourUser, ourSystem}
	}
	var below *plotter.BarChart
	for i, length := range []float64{min(b.user, end), min(b.system, max(0, end-b.user))} {
		part, err := plotter.NewBarChart(plotter.Values{length}, barWidth)
		if err != nil {
			return err
		}
		part.Horizontal, part.XMin, part.Color, part.LineStyle.Width = true, float64(at), colours[i], 0
		if below != nil {
			part.StackOn(below)
		}
		below = part
		p.Add(part)
	}
	return nil
}

// draw puts the panels side by side under a heading.
func (r *Results) draw(panels []*plot.Plot, most int, path string) error {
	columns := min(plotColumns, len(panels))
	rows := (len(panels) + columns - 1) / columns
	height := panelMargin + vg.Length(most)*rowHeight
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(columns)*panelWidth, headHeight+vg.Length(rows)*height), vgimg.UseDPI(plotDPI), vgimg.UseBackgroundColor(color.White))
	whole := draw.New(canvas)
	r.heading(draw.Crop(whole, 0, 0, whole.Max.Y-headHeight, 0))
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: vg.Centimeter / 2, PadY: vg.Centimeter / 2, PadLeft: vg.Centimeter / 4, PadRight: vg.Centimeter / 4, PadBottom: vg.Centimeter / 4}
	below := draw.Crop(whole, 0, 0, 0, -headHeight)
	for i, panel := range panels {
		panel.Draw(tiles.At(below, i%columns, i/columns))
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(file); err != nil {
		return fmt.Errorf("write plot %s: %w", path, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// heading says what the colours mean and what was measured where.
func (r *Results) heading(c draw.Canvas) {
	style := text.Style{Color: color.Black, Font: font.From(plot.DefaultFont, legendFontSize), Handler: plot.DefaultTextHandler, YAlign: text.YCenter}
	at := vg.Point{X: vg.Centimeter / 2, Y: c.Min.Y + headHeight*0.68}
	c.FillText(style, at, fmt.Sprintf("%s, %d CPUs, Linux %s, commit %s, %s: median of %d turns (fewest..most); shorter is better",
		r.Machine.CPU, r.Machine.CPUs, r.Machine.Kernel, r.Commit, r.Started.Format("2006-01-02"), r.Settings.Turns))
	at.Y = c.Min.Y + headHeight*0.25
	for _, l := range []struct {
		colour color.Color
		words  string
	}{{ourUser, "ours, user"}, {ourSystem, "ours, system"}, {userColour, "others, user"}, {systemColour, "others, system"}} {
		box := barWidth * 0.8
		c.FillPolygon(l.colour, []vg.Point{
			{X: at.X, Y: at.Y - box/2},
			{X: at.X + box, Y: at.Y - box/2},
			{X: at.X + box, Y: at.Y + box/2},
			{X: at.X, Y: at.Y + box/2},
		})
		c.FillText(style, vg.Point{X: at.X + 1.4*box, Y: at.Y}, l.words)
		at.X += 4 * vg.Centimeter
	}
}
