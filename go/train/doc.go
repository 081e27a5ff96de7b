// Package train is training: data, loss, optimizer, schedule, the recorded step, the loop, evaluation and its files.
package train
