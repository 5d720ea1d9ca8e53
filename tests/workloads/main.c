/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * workload [option]... NAME [param=value]...
 *
 * Sets the workload up, says that it is ready, and waits: SIGUSR1 (or the appearance of the
 * --verify file, which is removed) makes it verify itself and write "PASS" or "FAIL: reason";
 * SIGTERM makes it verify a last time and exit with 0 or 1. 77: not possible here.
 *
 * It waits in ppoll(2), with a mask that lets the two signals in. As pid 1 of a container it gets
 * them like any process, because they have handlers; it has no shell between and reaps its own
 * children.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/frame.h"
#include "tests/workloads/workload.h"

static struct {
	const char *ready_file, *verify_file, *result_file;
	int ready_fd;
	bool daemon;
	bool keep_dir; /* --dir was given, so it is not ours to remove */
	char dir[PATH_MAX];
	const struct workload *workload;
	int verify_watch; /* inotify descriptor, or -1 */
	pid_t pid, pgid, sid;
} frame = { .ready_fd = -1, .verify_watch = -1 };

static volatile sig_atomic_t want_verify, want_stop;

const char *frame_dir(void)
{
	return frame.dir;
}

void frame_in_child(void)
{
	if (frame.ready_fd >= 0)
		close(frame.ready_fd);
	if (frame.verify_watch >= 0)
		close(frame.verify_watch);
	/* a child of this child may have other files there */
	frame.ready_fd = frame.verify_watch = -1;
}

/* ---- parameters ---- */

static struct workload_param *param_find(const char *name, size_t len)
{
	struct workload_param *p = frame.workload->params;

	for (; p && p->name; p++)
		if (strlen(p->name) == len && !memcmp(p->name, name, len))
			return p;
	return NULL;
}

long param(const char *name, long fallback)
{
	struct workload_param *p = param_find(name, strlen(name));

	return p ? p->value : fallback;
}

bool strict(void)
{
	return param("strict", 1);
}

static bool param_parse(const char *arg)
{
	const char *eq = strchr(arg, '=');
	struct workload_param *p = eq ? param_find(arg, (size_t)(eq - arg)) : NULL;
	char *end;

	if (!p)
		return false;
	errno = 0;
	p->value = strtol(eq + 1, &end, 0);
	return !errno && end != eq + 1 && !*end;
}

/* ---- telling ---- */

/* Writes one line and renames it into place, so that a reader sees all of it or nothing. */
static int write_line(const char *path, const char *line)
{
	char temp[PATH_MAX];
	FILE *f;

	snprintf(temp, sizeof(temp), "%s.tmp", path);
	f = fopen(temp, "we");
	if (!f)
		return -1;
	fprintf(f, "%s\n", line);
	if (fclose(f) < 0)
		return -1;
	return rename(temp, path);
}

static void tell(int verdict)
{
	char line[600];

	if (verdict == WL_OK)
		snprintf(line, sizeof(line), "PASS");
	else
		snprintf(line, sizeof(line), "%s: %s", verdict == WL_SKIP ? "SKIP" : "FAIL",
			 reason());
	if (!frame.result_file)
		dprintf(STDOUT_FILENO, "%s\n", line);
	else if (write_line(frame.result_file, line) < 0)
		dprintf(STDERR_FILENO, "workload: %s: %s\n", frame.result_file,
			strerrordesc_np(errno));
}

static int tell_ready(void)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (frame.ready_file && write_line(frame.ready_file, pid) < 0)
		return fail_errno("%s", frame.ready_file);
	if (frame.ready_fd >= 0) {
		dprintf(frame.ready_fd, "READY\n");
		close(frame.ready_fd);
	} else if (!frame.ready_file) {
		dprintf(STDOUT_FILENO, "READY\n");
	}
	return WL_OK;
}

/* ---- verifying ---- */

static void note_identity(void)
{
	frame.pid = getpid();
	frame.pgid = getpgid(0);
	frame.sid = getsid(0);
}

/* Group and session can be kept only if their leader is one of ours: that is, we are. */
static int check_identity(void)
{
	if (getpid() != frame.pid)
		return fail("pid is %d, was %d", getpid(), frame.pid);
	if (frame.pgid == frame.pid && getpgid(0) != frame.pgid)
		return fail("process group is %d, was %d", getpgid(0), frame.pgid);
	if (frame.sid == frame.pid && getsid(0) != frame.sid)
		return fail("session is %d, was %d", getsid(0), frame.sid);
	return WL_OK;
}

static int verify(void)
{
	int r;

	reason_clear();
	r = check_identity();
	if (r == WL_OK)
		r = frame.workload->verify();
	return r;
}

/* ---- waiting ---- */

static void on_signal(int sig)
{
	if (sig == SIGTERM)
		want_stop = 1;
	else
		want_verify = 1;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* The folder is watched, not the file: the file is not there yet. */
static int watch_verify_file(void)
{
	char copy[PATH_MAX];

	if (!frame.verify_file)
		return WL_OK;
	snprintf(copy, sizeof(copy), "%s", frame.verify_file);
	frame.verify_watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (frame.verify_watch < 0 ||
	    inotify_add_watch(frame.verify_watch, dirname(copy), IN_CREATE | IN_MOVED_TO) < 0)
		return fail_errno("watching %s", frame.verify_file);
	return WL_OK;
}

static void drain_watch(void)
{
	char events[4096];

	while (frame.verify_watch >= 0 && read(frame.verify_watch, events, sizeof(events)) > 0)
		;
}

/* Waits for a request. A failed tick is a verdict too: it is kept for the next verify. */
static int wait_request(void)
{
	struct pollfd fd = { .fd = frame.verify_watch, .events = POLLIN };
	int tick_ms = frame.workload->tick_ms;
	struct timespec tick = { tick_ms / 1000, tick_ms % 1000 * 1000000L };
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigdelset(&mask, SIGUSR1);
	sigdelset(&mask, SIGTERM);
	while (!want_verify && !want_stop) {
		ppoll(&fd, frame.verify_watch >= 0, frame.workload->tick ? &tick : NULL, &mask);
		drain_watch();
		if (frame.verify_file && unlink(frame.verify_file) == 0)
			want_verify = 1;
		if (frame.workload->tick && frame.workload->tick() != WL_OK)
			return WL_FAIL;
	}
	return WL_OK;
}

static int serve(void)
{
	for (;;) {
		int ticked = wait_request();
		int r = ticked == WL_OK ? verify() : ticked;

		tell(r);
		if (want_stop || ticked != WL_OK)
			return r;
		want_verify = 0;
	}
}

/* ---- starting ---- */

static int make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (frame.keep_dir) {
		if (mkdir(frame.dir, 0755) < 0 && errno != EEXIST)
			return fail_errno("%s", frame.dir);
		return WL_OK;
	}
	snprintf(frame.dir, sizeof(frame.dir), "%s/workload.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(frame.dir))
		return fail_errno("%s", frame.dir);
	chmod(frame.dir, 0755);
	return WL_OK;
}

/*
 * Leaves a process in a session of its own without a terminal. The first process stays until the
 * other is ready, prints its pid and exits with its status if it could not start.
 */
static void daemonize(void)
{
	int report[2], null;
	char word[16] = "";
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		perror("workload: starting");
		exit(WL_FAIL);
	}
	if (pid > 0) {
		int status = WL_FAIL << 8;

		close(report[1]);
		if (read(report[0], word, sizeof(word)) > 0) {
			printf("%d\n", pid);
			exit(0);
		}
		waitpid(pid, &status, 0);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : WL_FAIL);
	}
	setsid();
	close(report[0]);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
	/* The workload's own descriptors begin at 3. */
	frame.ready_fd = report[1];
}

static void print_help(void)
{
	printf("usage: workload [option]... NAME [param=value]...\n\n"
	       "  --ready FILE    create FILE, holding the pid, when the state is set up\n"
	       "  --ready-fd N    write READY to that descriptor and close it (default: standard "
	       "output)\n"
	       "  --verify FILE   verify when FILE appears, and remove it (SIGUSR1 does the same)\n"
	       "  --result FILE   write PASS or \"FAIL: reason\" there (default: standard output)\n"
	       "  --dir DIR       folder for the workload's files (default: a new one below /tmp)\n"
	       "  --daemon        run in a new session on /dev/null, and print the pid when ready\n"
	       "  --list          print the names\n\n");
	for (size_t i = 0; workload_groups[i]; i++)
		for (const struct workload *w = workload_groups[i]; w->name; w++) {
			printf("  %-16s %s\n", w->name, w->help);
			for (struct workload_param *p = w->params; p && p->name; p++)
				printf("  %16s   %s=%ld: %s\n", "", p->name, p->value, p->help);
		}
}

static void print_names(void)
{
	for (size_t i = 0; workload_groups[i]; i++)
		for (const struct workload *w = workload_groups[i]; w->name; w++)
			printf("%s\n", w->name);
}

/* The workload may change its working directory, so its own files are named from the root. */
static const char *absolute(const char *path)
{
	char cwd[PATH_MAX], *full;

	if (path[0] == '/' || !getcwd(cwd, sizeof(cwd)) || asprintf(&full, "%s/%s", cwd, path) < 0)
		return path;
	return full;
}

static bool parse_options(int argc, char **argv)
{
	enum { READY = 256, READY_FD, VERIFY, RESULT, DIR, DAEMON, LIST };
	static const struct option options[] = {
		{ "ready", required_argument, NULL, READY },
		{ "ready-fd", required_argument, NULL, READY_FD },
		{ "verify", required_argument, NULL, VERIFY },
		{ "result", required_argument, NULL, RESULT },
		{ "dir", required_argument, NULL, DIR },
		{ "daemon", no_argument, NULL, DAEMON },
		{ "list", no_argument, NULL, LIST },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};

	for (;;) {
		switch (getopt_long(argc, argv, "h", options, NULL)) {
		case READY:
			frame.ready_file = absolute(optarg);
			break;
		case READY_FD:
			frame.ready_fd = atoi(optarg);
			break;
		case VERIFY:
			frame.verify_file = absolute(optarg);
			break;
		case RESULT:
			frame.result_file = absolute(optarg);
			break;
		case DIR:
			snprintf(frame.dir, sizeof(frame.dir), "%s", absolute(optarg));
			frame.keep_dir = true;
			break;
		case DAEMON:
			frame.daemon = true;
			break;
		case LIST:
			print_names();
			exit(0);
		case 'h':
			print_help();
			exit(0);
		case -1:
			return true;
		default:
			return false;
		}
	}
}

static bool parse(int argc, char **argv)
{
	if (!parse_options(argc, argv))
		return false;
	if (optind == argc) {
		fprintf(stderr, "workload: no name given; try --list\n");
		return false;
	}
	frame.workload = workload_find(argv[optind]);
	if (!frame.workload) {
		fprintf(stderr, "workload: no workload named '%s'; try --list\n", argv[optind]);
		return false;
	}
	for (int i = optind + 1; i < argc; i++)
		if (!param_parse(argv[i])) {
			fprintf(stderr, "workload: '%s' is no parameter of %s; try --help\n",
				argv[i], frame.workload->name);
			return false;
		}
	return true;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

/* The workload may have given up its privileges: what cannot be removed stays. */
static void remove_dir(void)
{
	if (!frame.keep_dir && frame.dir[0])
		nftw(frame.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int run(void)
{
	int r = make_dir();

	catch_signals();
	if (r == WL_OK)
		r = watch_verify_file();
	if (r == WL_OK)
		r = frame.workload->setup();
	if (r == WL_OK)
		r = tell_ready();
	if (r != WL_OK) {
		tell(r);
		dprintf(STDERR_FILENO, "workload: %s: %s\n", frame.workload->name, reason());
		return r;
	}
	note_identity();
	return serve();
}

int main(int argc, char **argv)
{
	int r;

	if (!parse(argc, argv))
		return 2;
	if (frame.daemon)
		daemonize();
	r = run();
	if (frame.workload->teardown)
		frame.workload->teardown();
	remove_dir();
	children_kill();
	return r;
}
