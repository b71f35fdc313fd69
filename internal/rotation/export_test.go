package rotation

import "fastness/internal/secretbuf"

// WrapRotators has wrap around every rotator that Parse makes from now on.
func WrapRotators(wrap func(Rotator) Rotator) {
	for name, parse := range kinds {
		kinds[name] = func(config *secretbuf.Buffer, n Network) (Rotator, error) {
			r, err := parse(config, n)
			if err != nil {
				return nil, err
			}
			return wrap(r), nil
		}
	}
}
