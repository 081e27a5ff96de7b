// Package layer has the layers of the model: each one equation, forward and backward, as calls on a backend.
package layer
