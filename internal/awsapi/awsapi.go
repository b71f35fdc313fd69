// Package awsapi is the front that speaks the protocol of AWS Secrets Manager.
package awsapi
