package health

// Bar keeps the upstream out of use for a reason that its answers do not show, such as that it forwards to us: ForcedDown, but for an operator who
// insists on it (Use). A second Bar replaces the reason.
func (s *State) Bar(now int64, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = reason
	s.show(now, Reason{Cause: CauseBarred, Err: reason})
}

// Unbar ends Bar.
func (s *State) Unbar(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = nil
	s.show(now, Reason{Cause: CauseUnbarred})
}
