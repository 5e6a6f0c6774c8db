package client

import (
	"encoding/json"
	"errors"
	"fmt"
)

// outcome runs a request that ends with a result: a T, and an error if the service failed
// after it had begun to answer. doing says in an error what was to be done. With an error
// comes what was done before.
func outcome[T any](doing string, request func(result any) error) (done T, err error) {
	var text json.RawMessage
	var failed struct{ Error string }
	err = request(&text)
	if text != nil {
		err = errors.Join(err, json.Unmarshal(text, &done), json.Unmarshal(text, &failed))
	}
	if err == nil && failed.Error != "" {
		err = errors.New(failed.Error)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", doing, err)
	}
	return done, err
}
