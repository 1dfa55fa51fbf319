package simulate

// crowd adds the burst and the dense hour of Config: the scanner at work in
// production, faster than it usually is, on the day three fifths through the window.
// What it reads is IAM, so all of it is recorded in us-east-1.
func (w *World) crowd() {
	day := (w.start + (w.end-w.start)*3/5) / daySeconds * daySeconds
	add := func(title string, at int64, n int, step float64) {
		if n == 0 {
			return
		}
		p := &planner{w: w, r: seeded(w.cfg.Seed, label("crowd"), label(title))}
		vendor := outsiderSession(production, vendorAccount, "AROAVENDORSCANNERCORE:scan-worker", w.scanner.ip, scannerAgent)
		s := w.assume(&p.r, w.scanner.roles[production], "posture-"+title, at-30, vendor, root{}, roleOptions{ip: w.scanner.ip, agent: scannerAgent})
		p.issue(at-30, vendor, callAssumeVendor, w.global, s)
		var calls []*call
		for _, k := range scannerCalls {
			if k.source == "iam" {
				calls = append(calls, k)
			}
		}
		for i := range n {
			p.emit(at+int64(float64(i)*step), s, pick(&p.r, calls), w.global)
		}
		for _, e := range p.out {
			w.scripted[e.at/3600] = append(w.scripted[e.at/3600], e)
		}
	}
	add("burst", day+14*3600+1207, w.cfg.Burst, 0)
	add("dense", day+10*3600+60, w.cfg.DenseHour, 3500/float64(max(1, w.cfg.DenseHour)))
}
