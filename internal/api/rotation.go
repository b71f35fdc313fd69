package api

import (
	"net/http"

	"fastness/internal/audit"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

const rotationPath = secretPath + "/rotation"

// rotationRoutes are those of secrets that rotate by themselves.
var rotationRoutes = []*Route{
	{Method: put, Pattern: rotationPath, Summary: "Have a secret rotate by itself, or change how",
		Body: mediumBody, Action: audit.Update,
		Request: "RotationRequest", Response: "Rotation", Failures: conflict, handle: setRotation},
	{Method: get, Pattern: rotationPath, Summary: "Tell how a secret rotates by itself, and how it stands",
		Action: audit.Describe, Response: "Rotation", handle: getRotation},
	{Method: del, Pattern: rotationPath, Summary: "End that a secret rotates by itself",
		Action: audit.Update, Success: noContent, Failures: conflict, handle: removeRotation},
	{Method: get, Pattern: rotationPath + "/history", Summary: "List a secret's rotations that are over, newest first",
		Action: audit.Describe, Response: "RotationHistory", handle: rotationHistory},
	{Method: get, Pattern: rotationPath + "/consumers", Summary: "List who has read which version of a secret",
		Action: audit.Describe, Query: pageParams, Response: "ConsumerList", handle: listConsumers},
	{Method: post, Pattern: rotationPath + "/pause", Summary: "Rotate no more until resumed",
		Action: audit.Rotate, Response: "Rotation", Failures: conflict, handle: pauseRotation},
	{Method: post, Pattern: rotationPath + "/resume", Summary: "Rotate again, and go on with what was under way",
		Action: audit.Rotate, Response: "Rotation", Failures: conflict, handle: resumeRotation},
	{Method: post, Pattern: rotationPath + "/repair", Summary: "Have a stuck rotation end with the credential that works",
		Action: audit.Rotate, Response: "Rotation", Success: []int{http.StatusAccepted}, Failures: conflict, handle: repairRotation},
}

func setRotation(c *call) error {
	var request wire.RotationRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	p := vault.RotationPolicy{Rotator: request.Rotator, Config: request.Config, Schedule: request.Schedule, Duration: request.Duration, RetireAfter: request.RetireAfter}
	for _, text := range request.Uses {
		name, err := secret.ParseName(text)
		if err != nil {
			return invalid("uses", "names of secrets")
		}
		p.Uses = append(p.Uses, name)
	}
	status, err := rotation.Set(c.context(), c.session(), c.api.network, c.name, p)
	return c.rotation(http.StatusOK, status, err)
}

func getRotation(c *call) error {
	status, err := rotation.StatusOf(c.session().Rotation(c.context(), c.name))
	return c.rotation(http.StatusOK, status, err)
}

func removeRotation(c *call) error {
	if err := c.session().RemoveRotation(c.context(), c.name); err != nil {
		return err
	}
	return c.noContent()
}

func rotationHistory(c *call) error {
	status, err := rotation.StatusOf(c.session().Rotation(c.context(), c.name))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(status.Past, rotationRecord, ""))
}

func pauseRotation(c *call) error {
	status, err := rotation.StatusOf(c.session().PauseRotation(c.context(), c.name))
	return c.rotation(http.StatusOK, status, err)
}

func resumeRotation(c *call) error {
	status, err := rotation.StatusOf(c.session().ResumeRotation(c.context(), c.name))
	return c.rotation(http.StatusOK, status, err)
}

func repairRotation(c *call) error {
	status, err := rotation.StatusOf(c.session().RepairRotation(c.context(), c.name))
	return c.rotation(http.StatusAccepted, status, err)
}

// rotation answers with how a secret rotates by itself, or with the error that
// stood in the way.
func (c *call) rotation(status int, s rotation.Status, err error) error {
	if err != nil {
		return err
	}
	reply := wire.Rotation{
		Name: string(s.Name), Rotator: s.Policy.Rotator, Config: s.Policy.Config, Schedule: s.Policy.Schedule, Duration: s.Policy.Duration,
		RetireAfter: s.Policy.RetireAfter, Paused: s.Policy.Paused, LastRotated: s.LastRotated, NextRotation: s.NextRotation, State: string(s.State()), Overdue: s.Overdue,
	}
	for _, name := range s.Policy.Uses {
		reply.Uses = append(reply.Uses, string(name))
	}
	if s.Now != nil {
		reply.Rotation = new(rotationRecord(*s.Now))
	}
	if len(s.Past) > 0 {
		reply.Last = new(rotationRecord(s.Past[0]))
	}
	if r := s.Retiring; r != nil {
		reply.Retiring = &wire.Retiring{VersionID: string(r.Old), Until: r.Until, Failed: r.Failed}
	}
	return c.reply(status, reply)
}

// listConsumers answers with a page of who has read a secret.
func listConsumers(c *call) error {
	limit, cursor, err := c.page()
	if err != nil {
		return err
	}
	page, err := c.session().Consumers(c.context(), c.name, limit, cursor)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, func(c vault.Consumer) wire.Consumer {
		return wire.Consumer{Principal: c.Principal, Version: c.Version.String(), LastRead: c.LastRead, Behind: c.Behind}
	}, page.Next))
}

func rotationRecord(r rotation.Record) wire.RotationRecord {
	w := wire.RotationRecord{
		ID: string(r.ID), State: string(r.State), VersionID: string(r.Token), FromVersion: string(r.From), Started: r.Started, Changed: r.Changed,
		Steps: []wire.RotationStep{}, Attempts: r.Attempts, Class: string(r.Class), Detail: r.Detail, NextAttempt: r.NextAttempt,
	}
	for _, p := range r.Passed {
		w.Steps = append(w.Steps, wire.RotationStep{State: string(p.State), At: p.At})
	}
	return w
}
