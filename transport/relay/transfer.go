package relay

import (
	"context"
	"time"

	"secure-dns-proxy/transport"
	"secure-dns-proxy/transport/wire"
)

// transfer carries a job with many messages in answer. The worker has asked for the first one.
func (t *task) transfer(wanted context.Context, job *Job) {
	ctx, cancel := context.WithTimeout(wanted, TransferTime)
	defer cancel()
	id := [2]byte(job.Message)
	extent := job.Extent
	s, msg, fault := first(ctx, job)
	if fault != transport.FaultNone {
		t.reply(nil, fault)
		return
	}
	defer s.hangUp()
	for {
		last, broken := extent.Take(msg)
		if broken != wire.FaultNone {
			t.reply(nil, transport.FaultProtocol)
			return
		}
		copy(msg, id[:])
		t.reply(msg, transport.FaultNone)
		var err error
		if !last {
			msg, err = s.receive(ctx, transport.Now()+TransferIdle) // while the client takes the one before
		}
		select {
		case <-t.more:
		case <-wanted.Done():
			t.abandon()
			return
		}
		switch {
		case last:
			t.reply(nil, transport.FaultNone)
			return
		case err != nil:
			t.reply(nil, faultOf(err))
			return
		}
	}
}

// abandon ends a transfer that nobody wants any more; the worker may be owed a reply all the same.
func (t *task) abandon() {
	select {
	case <-t.more:
		t.reply(nil, transport.FaultShutdown)
	default:
	}
}

// first connects to one endpoint after the other until one of them has given a message.
func first(ctx context.Context, job *Job) (*stream, []byte, transport.Fault) {
	fault := transport.FaultDial
	for i, end := range job.Endpoints {
		s, msg, err := begun(ctx, job, end, share(job, i))
		if err == nil {
			return s, msg, transport.FaultNone
		}
		if fault = faultOf(err); ctx.Err() != nil {
			break
		}
	}
	return nil, nil, fault
}

func begun(ctx context.Context, job *Job, end *transport.Endpoint, at time.Duration) (*stream, []byte, error) {
	s, err := openWithin(ctx, end, at)
	if err != nil {
		return nil, nil, err
	}
	if err = s.send(ctx, job.Message, at); err == nil {
		var msg []byte
		if msg, err = s.receive(ctx, at); err == nil && answers(job.Message, msg) {
			return s, msg, nil
		}
	}
	s.hangUp()
	if err == nil {
		err = errAnswer
	}
	return nil, nil, err
}
