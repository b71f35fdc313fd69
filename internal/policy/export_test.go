package policy

// Candidates counts the policies that Cedar gets to see for a request.
func (s *Set) Candidates(r *Request) int {
	var sc scene
	if !s.setScene(&sc, r, nil) {
		return 0
	}
	sc.pick(s.policies)
	return len(sc.picked)
}
