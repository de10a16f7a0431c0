package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Start runs a supervisor for the instance in dir and returns when all its processes were started.
// The program must call Run(dir, fd 3) when its arguments are "supervise DIR".
func Start(dir string) error {
	logs := filepath.Join(dir, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(logs, "supervisor.log"),
		os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := exec.Command(self, "supervise", dir)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return err
	}
	// End of file without the word: the supervisor has died, and the reason is in its log.
	if line, _ := bufio.NewReader(read).ReadString('\n'); line != "ready\n" {
		cmd.Wait()
		return fmt.Errorf("supervisor of %s failed:\n%s", dir, Tail(dir, "supervisor", 10))
	}
	return cmd.Process.Release()
}

// Ask sends one request to the instance's supervisor and returns what follows "ok".
func Ask(dir, request string) (string, error) {
	conn, err := dial(dir)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, request); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("supervisor of %s went away: %w", dir, err)
	}
	line = strings.TrimSpace(line)
	if rest, bad := strings.CutPrefix(line, "error "); bad {
		return "", errors.New(rest)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "ok")), nil
}

// dial goes through the folder's descriptor because a socket's path may have 107 bytes only.
func dial(dir string) (net.Conn, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/control.sock", folder.Fd()))
}

// Down ends the instance and removes what it wrote; keepLogs leaves logs/. An instance whose
// supervisor is dead has no processes (they die with it), so then only files are removed.
func Down(dir string, keepLogs bool) error {
	spec, err := Load(dir, "")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid := supervisorPid(dir)
	if _, err := Ask(dir, "down"); err == nil && pid > 0 {
		waitGone(pid)
	}
	for _, name := range append(append([]string{}, spec.Files...), ownFiles...) {
		if keepLogs && name == "logs" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	// Only if nothing else lies there.
	if err := os.Remove(dir); err != nil && !keepLogs && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil
}

// Ended names the components that should run and do not.
func Ended(dir string) ([]string, error) {
	status, err := Ask(dir, "status")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, word := range strings.Fields(status) {
		if name, state, _ := strings.Cut(word, "="); strings.HasPrefix(state, "ended(") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Tail returns the last lines of a component's log, for error messages.
func Tail(dir, name string, lines int) string {
	path := filepath.Join(dir, "logs", name+".log")
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return path + ":\n  " + strings.Join(all, "\n  ")
}

func supervisorPid(dir string) int {
	data, err := os.ReadFile(filepath.Join(dir, "pids"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(data), "\n") {
		var pid int
		if n, _ := fmt.Sscanf(line, "supervisor %d", &pid); n == 1 {
			return pid
		}
	}
	return 0
}

func waitGone(pid int) {
	if gone, err := watchOwner(pid); err == nil {
		<-gone
	}
}
