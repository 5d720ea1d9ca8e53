// SPDX-License-Identifier: GPL-2.0-or-later

// A client as container engines in Go write it: go-criu CRIU IMAGES PID
//
// Asks for version and features, dumps the process and, after a line on its input, restores it, and prints
// what it is told. With a stage as the fourth word it refuses there, as a client does that fails in its notification.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	criu "github.com/checkpoint-restore/go-criu/v5"
	"github.com/checkpoint-restore/go-criu/v5/rpc"
	"google.golang.org/protobuf/proto"
)

type notify struct {
	refused string
}

func (n notify) at(stage string, pid int32) error {
	fmt.Println("stage", stage, pid)
	if stage == n.refused {
		return errors.New("refused")
	}
	return nil
}

func (n notify) PreDump() error                  { return n.at("pre-dump", 0) }
func (n notify) PostDump() error                 { return n.at("post-dump", 0) }
func (n notify) PreRestore() error               { return n.at("pre-restore", 0) }
func (n notify) PostRestore(pid int32) error     { return n.at("post-restore", pid) }
func (n notify) NetworkLock() error              { return n.at("network-lock", 0) }
func (n notify) NetworkUnlock() error            { return n.at("network-unlock", 0) }
func (n notify) SetupNamespaces(pid int32) error { return n.at("setup-namespaces", pid) }
func (n notify) PostSetupNamespaces() error      { return n.at("post-setup-namespaces", 0) }
func (n notify) PostResume() error               { return n.at("post-resume", 0) }

func run(path string, images string, pid int, n notify) error {
	c := criu.MakeCriu()
	c.SetCriuPath(path)
	version, err := c.GetCriuVersion()
	if err != nil {
		return fmt.Errorf("version: %w", err)
	}
	enough, err := c.IsCriuAtLeast(31600)
	if err != nil {
		return fmt.Errorf("version: %w", err)
	}
	fmt.Println("version", version, enough)
	if _, err = c.FeatureCheck(&rpc.CriuFeatures{MemTrack: proto.Bool(true), LazyPages: proto.Bool(true)}); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	dir, err := os.Open(images)
	if err != nil {
		return err
	}
	defer dir.Close()
	opts := &rpc.CriuOpts{
		Pid:         proto.Int32(int32(pid)),
		ImagesDirFd: proto.Int32(int32(dir.Fd())),
		LogLevel:    proto.Int32(4),
		LogFile:     proto.String("dump.log"),
	}
	if err = c.Dump(opts, n); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	// the pid of the process is taken until its parent has asked how it ended
	fmt.Println("dumped")
	if _, err = fmt.Scanln(); err != nil && err.Error() != "unexpected newline" {
		return err
	}
	opts = &rpc.CriuOpts{
		ImagesDirFd: proto.Int32(int32(dir.Fd())),
		LogLevel:    proto.Int32(4),
		LogFile:     proto.String("restore.log"),
	}
	// one that is prepared before serves the same
	if err = c.Prepare(); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer c.Cleanup()
	if err = c.Restore(opts, n); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Println("restored")
	return nil
}

func main() {
	pid, err := strconv.Atoi(os.Args[3])
	if err == nil {
		refused := ""
		if len(os.Args) > 4 {
			refused = os.Args[4]
		}
		err = run(os.Args[1], os.Args[2], pid, notify{refused})
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}
