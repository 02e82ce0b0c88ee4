package relay

import (
	"context"
	"errors"
	"time"

	"secure-dns-proxy/transport"
)

// errAnswer is a message that answers something else.
var errAnswer = errors.New("no answer to the request")

// exchange carries a job with one answer. The answer has the id of the request.
func exchange(ctx context.Context, job *Job) ([]byte, transport.Fault) {
	fault := transport.FaultDial
	for i, end := range job.Endpoints {
		msg, sent, err := ask(ctx, job, end, share(job, i))
		if err == nil && !answers(job.Message, msg) {
			err = errAnswer
		}
		if err == nil {
			copy(msg, job.Message[:2])
			return msg, transport.FaultNone
		}
		fault = faultOf(err)
		if sent && job.Once || ctx.Err() != nil || transport.Now() >= job.Deadline {
			break
		}
	}
	return nil, fault
}

// share is until when endpoint number i may take: the time that is left belongs to it and those after it, but all of it to a message that is sent once.
func share(job *Job, i int) time.Duration {
	if job.Once {
		return job.Deadline
	}
	now := transport.Now()
	return now + (job.Deadline-now)/time.Duration(len(job.Endpoints)-i)
}

// ask has one endpoint answer, within the time until at. sent: it may have taken notice.
func ask(ctx context.Context, job *Job, end *transport.Endpoint, at time.Duration) (msg []byte, sent bool, err error) {
	if end.Scheme == transport.HTTPS {
		return post(ctx, end, job.Message, at)
	}
	s, err := openWithin(ctx, end, at)
	if err != nil {
		return nil, false, err
	}
	defer s.hangUp()
	if err := s.send(ctx, job.Message, at); err != nil {
		return nil, true, err
	}
	msg, err = s.receive(ctx, at)
	return msg, true, err
}

// openWithin connects within the time until at; ctx goes on to hold for the stream.
func openWithin(ctx context.Context, end *transport.Endpoint, at time.Duration) (*stream, error) {
	dialing, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(at-transport.Now(), cancel)
	s, err := open(dialing, end)
	if !timer.Stop() && err == nil {
		s.hangUp()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, err
	}
	hangUp := s.hangUp
	s.hangUp = func() { hangUp(); cancel() }
	return s, nil
}

// answers reports whether msg is a response with the opcode of query. What it repeats of the request is left to the client: RFC 2136 §3.8 lets it be nothing.
func answers(query, msg []byte) bool {
	return msg[2]&0x80 != 0 && (msg[2]^query[2])&0x78 == 0
}
