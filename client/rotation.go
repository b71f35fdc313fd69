package client

import (
	"context"
	"net/http"

	"fastness/internal/wire"
)

// SetRotation has a secret rotate by itself, or changes how.
func (s *Session) SetRotation(ctx context.Context, name Name, p RotationPolicy) (Rotation, error) {
	path, err := s.secretPath(ctx, name, "rotation")
	if err != nil {
		return Rotation{}, err
	}
	var reply Rotation
	_, err = s.client.encode(ctx, request{method: http.MethodPut, path: path, repeat: true}, p, &reply)
	return reply, err
}

// Rotation tells how a secret rotates by itself, and how it stands;
// ErrNotFound if it does not.
func (s *Session) Rotation(ctx context.Context, name Name) (Rotation, error) {
	return s.rotation(ctx, http.MethodGet, name)
}

// RemoveRotation ends that a secret rotates by itself; ErrConflict while a
// rotation is under way.
func (s *Session) RemoveRotation(ctx context.Context, name Name) error {
	path, err := s.secretPath(ctx, name, "rotation")
	if err != nil {
		return err
	}
	return s.client.discard(ctx, request{method: http.MethodDelete, path: path})
}

// PauseRotation stops a secret's rotations until ResumeRotation. A step that
// the worker has begun still ends.
func (s *Session) PauseRotation(ctx context.Context, name Name) (Rotation, error) {
	return s.rotation(ctx, http.MethodPost, name, "pause")
}

// ResumeRotation ends PauseRotation.
func (s *Session) ResumeRotation(ctx context.Context, name Name) (Rotation, error) {
	return s.rotation(ctx, http.MethodPost, name, "resume")
}

// RepairRotation has a stuck rotation end with the credential that works;
// ErrConflict if none is stuck.
func (s *Session) RepairRotation(ctx context.Context, name Name) (Rotation, error) {
	return s.rotation(ctx, http.MethodPost, name, "repair")
}

// RotationHistory tells a secret's rotations that are over, newest first.
func (s *Session) RotationHistory(ctx context.Context, name Name) ([]RotationRecord, error) {
	path, err := s.secretPath(ctx, name, "rotation", "history")
	if err != nil {
		return nil, err
	}
	var list wire.RotationHistory
	_, err = s.client.decode(ctx, request{method: http.MethodGet, path: path, repeat: true}, &list)
	return list.Items, err
}

// Consumers tells a page of who has read which version of a secret, by principal.
func (s *Session) Consumers(ctx context.Context, name Name, limit int, cursor string) (Page[Consumer], error) {
	path, err := s.secretPath(ctx, name, "rotation", "consumers")
	if err != nil {
		return Page[Consumer]{}, err
	}
	return getPage(ctx, s.client, request{path: path, query: pageQuery(limit, cursor)}, func(c Consumer) (Consumer, error) { return c, nil })
}

// rotation sends a request without a body that is answered with how the
// rotation stands. All of them may be repeated.
func (s *Session) rotation(ctx context.Context, method string, name Name, verb ...string) (Rotation, error) {
	path, err := s.secretPath(ctx, name, append([]string{"rotation"}, verb...)...)
	if err != nil {
		return Rotation{}, err
	}
	var reply Rotation
	_, err = s.client.decode(ctx, request{method: method, path: path, repeat: true}, &reply)
	return reply, err
}
