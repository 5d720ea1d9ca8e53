/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ckpt service: listens, and gives each connection a worker of its own. What it is told on the
 * command line is about itself; workers start from the configuration files, as swrk does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/log.h"
#include "runtime/cmd.h"
#include "runtime/rpc.h"

#define DEFAULT_ADDRESS "./criu_service.socket"
#define LISTEN_FD 3 /* the first descriptor of socket activation */

/* Clients that come when so many are served wait to be accepted. */
enum { MAX_WORKERS = 64 };

struct service {
	struct cli *cli;
	struct log log;
	int listener, signals;
	int parent; /* told when all is ready, with --daemon; else -1 */
	bool bound; /* the socket file is ours */
	char address[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned int workers;
};

/* ---- the socket ---- */

/* systemd made it, and listens already. 0: it did not. */
static int take_activated(struct service *s, struct err *err)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	int type, listens;
	socklen_t len = sizeof(int);

	if (!pid || !n || atoi(pid) != getpid())
		return 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	if (atoi(n) != 1)
		return err_usage(err, "service: %s sockets are passed, expected one", n);
	if (getsockopt(LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET ||
	    getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
		return err_usage(err,
				 "service: the socket that is passed (descriptor %d) does not "
				 "listen for sequenced packets",
				 LISTEN_FD);
	fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
	s->listener = LISTEN_FD;
	return 1;
}

static int socket_mode(const struct cli *cli, mode_t *ret, struct err *err)
{
	char *end;
	unsigned long mode = strtoul(cli->socket_mode ?: "0600", &end, 8);

	if (*end || mode > 0777)
		return err_usage(err,
				 "--socket-mode: expected permissions such as 0660, found '%s'",
				 cli->socket_mode);
	*ret = (mode_t)mode;
	return 0;
}

/* A socket of a service before us goes; any other file stays. */
static int clear_address(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "looking at '%s'", path);
	if (!S_ISSOCK(st.st_mode))
		return err_usage(err, "--address: '%s' is there, and is no socket", path);
	return unlink(path) < 0 ? err_sys(err, -errno, "removing the old socket '%s'", path) : 0;
}

/* Nobody can connect before the permissions are right: it does not listen yet. */
static int bind_address(struct service *s, mode_t mode, struct err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t mask;
	int r;

	memcpy(a.sun_path, s->address, sizeof(a.sun_path));
	r = clear_address(s->address, err);
	if (r < 0)
		return r;
	mask = umask(0177);
	r = bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return err_sys(err, r, "binding to '%s'", s->address);
	s->bound = true;
	if (chmod(s->address, mode) < 0)
		return err_sys(err, -errno, "setting the permissions of '%s'", s->address);
	if (listen(s->listener, 16) < 0)
		return err_sys(err, -errno, "listening on '%s'", s->address);
	return 0;
}

static int open_listener(struct service *s, struct err *err)
{
	const char *address = s->cli->address ?: DEFAULT_ADDRESS;
	mode_t mode = 0600;
	int r = take_activated(s, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = socket_mode(s->cli, &mode, err);
	if (r < 0)
		return r;
	if (strlen(address) >= sizeof(s->address) || !*address)
		return err_usage(err, "--address: '%s' is no path of a socket", address);
	strcpy(s->address, address);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s->listener < 0)
		return err_sys(err, -errno, "making a socket");
	return bind_address(s, mode, err);
}

/* ---- surroundings ---- */

static int open_log(struct service *s, struct err *err)
{
	const struct ckpt_options *o = &s->cli->ckpt;
	int fd = STDERR_FILENO;

	if (o->log_file && strcmp(o->log_file, "-") != 0)
		fd = open(o->log_file,
			  O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, -errno, "opening the log '%s'", o->log_file);
	log_init(&s->log, fd, (enum log_level)o->log_level);
	return 0;
}

/* The parent stays until the socket listens and the pid file is there: then clients may come. */
static int go_to_background(struct service *s, struct err *err)
{
	int p[2], null;
	char ready;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "making a pipe");
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "going to the background");
	if (pid > 0) {
		close(p[1]);
		_exit(read(p[0], &ready, 1) == 1 ? 0 : 1);
	}
	close(p[0]);
	s->parent = p[1];
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_sys(err, -errno, "opening '/dev/null'");
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
	return 0;
}

static int write_pidfile(const char *path, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char text[16];
	int r;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, -errno, "creating pid file '%s'", path);
	snprintf(text, sizeof(text), "%d", getpid());
	r = io_write_all(fd, text, strlen(text));
	return r < 0 ? err_sys(err, r, "writing pid file '%s'", path) : 0;
}

static int tell_ready(struct service *s, struct err *err)
{
	struct stages stages = { 0 };
	int r = stages_init(&stages, s->cli, err);

	if (r == 0)
		r = stages_run(&stages, "status-ready", 0, err);
	if (r == 0 && s->parent >= 0)
		r = io_write_all(s->parent, "", 1);
	if (s->parent >= 0)
		close(take_fd(&s->parent));
	return r;
}

/* Signals come as something to read, so that none is lost between two waits. */
static int open_signals(struct service *s, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? err_sys(err, -errno, "waiting for signals") : 0;
}

/* ---- workers ---- */

static _Noreturn void work(struct service *s, int sk)
{
	bool no_default = s->cli->no_default_config || s->cli->config_file;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(s->listener);
	close(s->signals);
	/* a worker that serves outlives a service that is ended; its session does not end with it
	 */
	setsid();
	_exit(rpc_serve(sk, true, no_default) == 0 ? 0 : 1);
}

static void accept_one(struct service *s)
{
	int sk = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid;

	/* the client may have gone, or we may be out of descriptors: others come */
	if (sk < 0)
		return;
	pid = fork();
	if (pid == 0)
		work(s, sk);
	if (pid < 0)
		log_error(&s->log, "no worker for a client: %s", strerrordesc_np(errno));
	else
		s->workers++;
	close(sk);
}

static void reap(struct service *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		s->workers--;
		if (WIFSIGNALED(status))
			log_warn(&s->log, "worker %d was killed by signal %d", pid,
				 WTERMSIG(status));
		else
			log_info(&s->log, "worker %d ended with status %d", pid,
				 WEXITSTATUS(status));
	}
}

/* True when it is time to end. */
static bool take_signals(struct service *s)
{
	struct signalfd_siginfo info;
	bool end = false;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			end = true;
	}
	return end;
}

static int serve(struct service *s, struct err *err)
{
	struct pollfd p[] = { { .fd = s->signals, .events = POLLIN },
			      { .fd = s->listener, .events = POLLIN } };

	for (;;) {
		p[1].fd = s->workers < MAX_WORKERS ? s->listener : -1;
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return err_sys(err, -errno, "waiting for clients");
		if (p[0].revents && take_signals(s))
			return 0;
		if (p[1].revents & POLLIN)
			accept_one(s);
	}
}

static int start(struct service *s, struct err *err)
{
	const struct ckpt_options *o = &s->cli->ckpt;
	const char *dir = o->work_dir ?: o->images_dir;
	int r;

	if (dir && chdir(dir) < 0)
		return err_sys(err, -errno, "changing to the work folder '%s'", dir);
	r = open_log(s, err);
	if (r == 0)
		r = open_listener(s, err);
	if (r == 0 && o->restore_detached)
		r = go_to_background(s, err);
	if (r == 0)
		r = open_signals(s, err);
	if (r == 0)
		r = write_pidfile(o->pidfile, err);
	return r == 0 ? tell_ready(s, err) : r;
}

int cmd_service(struct cli *cli, struct err *err)
{
	struct service s = { .cli = cli, .listener = -1, .signals = -1, .parent = -1 };
	int r = start(&s, err);

	if (r == 0) {
		log_info(&s.log, "listening on '%s'", s.address[0] ? s.address : "(passed)");
		r = serve(&s, err);
	}
	if (r < 0 && s.log.fd > STDERR_FILENO)
		log_err(&s.log, err);
	if (s.bound)
		unlink(s.address);
	return r;
}
