package wiretest

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Once is the Retryer of clients of which a test checks every error. It repeats
// only what failed on the connection: the SDK closes a request's body a second
// time, and if it does so before the transport does, the transport takes that for a
// failed write and closes the connection before a longer answer is read.
func Once() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		o.MaxAttempts = 10
	})
}
