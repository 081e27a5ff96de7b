package model

import "github.com/cuda-nn/cuda-nn/go/tensor"

// RecordedStep is a step that is recorded once and then launched as one call.
//
// It runs a fixed sequence of calls: the first time one by one, which makes every buffer it needs; the second time
// recorded; from then on as one graph launch. When the model's WorkspaceVersion changed in between, it starts over; a
// recording that failed is dropped.
type RecordedStep struct {
	Backend tensor.Backend
	Model   *MoETransformer
	run     func() error
	graph   tensor.Graph
	version int
	turn    schedulerTurn
}

// NewRecordedStep records run, which works on the model's buffers.
func NewRecordedStep(backend tensor.Backend, model *MoETransformer, run func() error) *RecordedStep {
	return &RecordedStep{Backend: backend, Model: model, run: run, version: -1}
}

// Run runs the sequence once.
func (s *RecordedStep) Run() error {
	if s.version != s.Model.WorkspaceVersion() {
		if err := s.Close(); err != nil {
			return err
		}
		if err := s.run(); err != nil {
			return err
		}
		s.version = s.Model.WorkspaceVersion()
		return nil
	}
	if s.graph == nil {
		if err := s.Backend.GraphBegin(); err != nil {
			return err
		}
		failed := s.run()
		graph, err := s.Backend.GraphEnd()
		if err := tensor.First(failed, err); err != nil {
			if graph != nil {
				err = tensor.First(err, graph.Close())
			}
			return err
		}
		s.graph = graph
	}
	s.turn.take()
	return s.Backend.GraphLaunch(s.graph)
}

// Close forgets the recording.
func (s *RecordedStep) Close() error {
	graph := s.graph
	s.graph = nil
	if graph == nil {
		return nil
	}
	return graph.Close()
}
