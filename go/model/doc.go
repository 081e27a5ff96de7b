// Package model is the model: its configuration, layers in their order, its files, and generation.
package model
