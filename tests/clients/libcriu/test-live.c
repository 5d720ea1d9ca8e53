/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A C client of libcriu and a real engine, the `criu` that is first on PATH: questions, a dump with
 * its notifications, a restore as a child, refusals, a self dump, a service.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/libcriu/criu.h"
#include "tests/lib/test.h"

static char dir[] = "/tmp/libcriu-live-XXXXXX";
static int images = -1;

static void fresh_folder(const char *name)
{
	char path[64];

	if (images >= 0)
		close(images);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	mkdir(path, 0700);
	images = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(images >= 0);
}

static void fresh_options(const char *log)
{
	check_int(criu_init_opts(), 0);
	criu_set_images_dir_fd(images);
	check_int(criu_set_log_file(log), 0);
	criu_set_log_level(CRIU_LOG_DEBUG);
}

static void show_log(const char *name)
{
	static char text[65536];
	int fd = openat(images, name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	char *line;

	text[n > 0 ? n : 0] = '\0';
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strstr(line, "Error"))
			printf("# %s\n", line);
	if (fd >= 0)
		close(fd);
}

static volatile sig_atomic_t told_to_end;

static void note_end(int sig)
{
	told_to_end = 1;
}

/* Nothing of the test is open in a victim but /dev/null. */
static void become_alone(void)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
}

/* A process that ends with status 7 when it gets SIGUSR1. */
static pid_t start_victim(void)
{
	int ready[2];
	sigset_t mask, old;
	pid_t pid;
	char c;

	check_int(pipe(ready), 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, &old);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		signal(SIGUSR1, note_end);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		become_alone();
		while (!told_to_end)
			sigsuspend(&old);
		_exit(7);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ready[1]);
	check_int(read(ready[0], &c, 1), 1);
	/* the end of the pipe is closed once the victim has closed everything */
	check_int(read(ready[0], &c, 1), 0);
	close(ready[0]);
	return pid;
}

static void end_victim(pid_t pid)
{
	int status = 0;

	check_int(kill(pid, SIGUSR1), 0);
	check_int(waitpid(pid, &status, 0), pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static char stages[512];
static const char *refuse;

static int note_stage(char *action, criu_notify_arg_t na)
{
	strcat(strcat(stages, action), " ");
	return refuse && strcmp(refuse, action) == 0 ? -1 : 0;
}

TEST(questions)
{
	struct criu_feature_check f = { .mem_track = true,
					.lazy_pages = true,
					.pidfd_store = true };

	fresh_folder("questions");
	fresh_options("check.log");
	check(criu_get_version() >= 40200);
	check_int(criu_check_version(31500), 1);
	check_int(criu_check_version(990000), 0);
	check_int(criu_feature_check(&f, sizeof(f)), 0);
	check_int(criu_check(), 0);
}

TEST(down_and_back_as_a_child)
{
	pid_t pid = start_victim(), back;
	int status;

	fresh_folder("child");
	fresh_options("dump.log");
	criu_set_pid(pid);
	stages[0] = '\0';
	criu_set_notify_cb(note_stage);
	if (!check_int(criu_dump(), 0)) {
		show_log("dump.log");
		end_victim(pid);
		return;
	}
	check(strncmp(stages, "pre-dump ", 9) == 0 && strstr(stages, "post-dump ") != NULL);
	check_int(waitpid(pid, &status, 0), pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	fresh_options("restore.log");
	stages[0] = '\0';
	criu_set_notify_cb(note_stage);
	back = criu_restore_child();
	if (!check_int(back, pid)) {
		show_log("restore.log");
		return;
	}
	check(strncmp(stages, "pre-restore ", 12) == 0 && strstr(stages, "post-resume ") != NULL);
	end_victim(back);
	check(waitpid(-1, &status, WNOHANG) < 0 && errno == ECHILD);
}

TEST(a_refused_dump_leaves_the_tree_running)
{
	pid_t pid = start_victim();

	fresh_folder("refused");
	fresh_options("dump.log");
	criu_set_pid(pid);
	refuse = "post-dump";
	criu_set_notify_cb(note_stage);
	check(criu_dump() != 0);
	refuse = NULL;
	end_victim(pid);
}

TEST(a_failure_says_so)
{
	fresh_folder("failure");
	fresh_options("dump.log");
	criu_set_pid(0x7ffffff0);
	check_int(criu_dump(), -EBADE);
	check_int(errno, ESRCH);
	fresh_options("restore.log");
	check_int(criu_restore_child(), -EBADE);
	fresh_options("restore.log");
	check(criu_restore() < 0);
}

/* The process that dumps itself goes on, and its copy returns from the same call later. */
static void dump_oneself(int report)
{
	int r;

	setsid();
	fresh_options("dump.log");
	criu_set_shell_job(true);
	criu_set_leave_running(true);
	r = criu_dump();
	if (r == 0 && write(report, "0", 1) == 1)
		_exit(0);
	_exit(r == 1 ? 42 : 43);
}

TEST(a_self_dump_returns_twice)
{
	int report[2], status = 0, null = open("/dev/null", O_RDWR);
	pid_t pid, back;
	char c = 0;

	fresh_folder("self");
	check_int(pipe2(report, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int own = open("/dev/null", O_RDWR);

		for (int fd = 0; fd < 3; fd++)
			dup2(own, fd);
		dump_oneself(report[1]);
	}
	close(null);
	close(report[1]);
	check_int(waitpid(pid, &status, 0), pid);
	if (!check(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		show_log("dump.log");
	check_int(read(report[0], &c, 1), 1);
	close(report[0]);
	if (WEXITSTATUS(status) != 0)
		return;

	fresh_options("restore.log");
	criu_set_shell_job(true);
	back = criu_restore_child();
	if (!check_int(back, pid)) {
		show_log("restore.log");
		return;
	}
	check_int(waitpid(back, &status, 0), back);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

struct test_state test_state;

int main(int argc, char **argv)
{
	char command[64];
	int r;

	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	r = test_main(argc, argv);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (r == 0 || !getenv("KEEP"))
		r |= system(command) != 0;
	return r;
}
