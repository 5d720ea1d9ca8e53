/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runtime/find.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/test.h"

static char top[64], session[96], run[96];
static struct err err;

static void put(const char *folder, const char *name, const char *file)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "mkdir -p '%s/%s'", folder, name);
	check_int(system(path), 0);
	snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
	fd = open(path, O_WRONLY | O_CREAT, 0755);
	check(fd >= 0);
	close(fd);
}

static void begin(void)
{
	memset(&err, 0, sizeof(err));
	strcpy(top, "/tmp/ckpt-test-XXXXXX");
	check(mkdtemp(top) != NULL);
	snprintf(run, sizeof(run), "%s/run", top);
	snprintf(session, sizeof(session), "%s/session", top);
	check_int(mkdir(run, 0755) | mkdir(session, 0755), 0);
}

static void end(void)
{
	char line[128];

	snprintf(line, sizeof(line), "rm -rf '%s'", top);
	check_int(system(line), 0);
}

TEST(names)
{
	memset(&err, 0, sizeof(err));
	check_int(find_check_id("web-1", &err), 0);
	check_int(find_check_id("", &err), -EINVAL);
	check_int(find_check_id("..", &err), -EINVAL);
	check_int(find_check_id("a/b", &err), -EINVAL);
	check(strstr(err.text, "'a/b'") != NULL);
}

TEST(each_runtime_below_run)
{
	struct find_env env;
	struct find_result f;

	begin();
	env = (struct find_env){ .run = run, .privileged = true };
	put(run, "crun/a", "status");
	put(run, "runc/b", "state.json");
	put(run, "crun/half", "config.json");
	check_int(find_container(&env, "a", &f, &err), 0);
	check_int(f.runtime, OCI_CRUN);
	check(strstr(f.dir, "/run/crun/a") != NULL);
	check_int(find_container(&env, "b", &f, &err), 0);
	check_int(f.runtime, OCI_RUNC);
	check_int(find_container(&env, "half", &f, &err), -ENOENT);
	check_int(find_container(&env, "c", &f, &err), -ENOENT);
	check(strstr(err.text, "'c' does not exist") && err.hint[0]);
	end();
}

TEST(the_session_is_looked_at_as_well)
{
	struct find_env env;
	struct find_result f;

	begin();
	env = (struct find_env){ .run = run, .xdg_runtime = session, .privileged = true };
	put(session, "crun/a", "status");
	check_int(find_container(&env, "a", &f, &err), 0);
	check(strstr(f.root, "/session/crun") != NULL);
	put(run, "runc/a", "state.json");
	check_int(find_container(&env, "a", &f, &err), -EINVAL);
	check(strstr(err.text, "/session/crun/a") && strstr(err.text, "/run/runc/a"));
	check(strstr(err.hint, "--root") != NULL);
	end();
}

TEST(a_root_that_is_given_is_the_only_one)
{
	struct find_env env;
	struct find_result f;

	begin();
	put(run, "crun/a", "status");
	put(session, "a", "state.json");
	env = (struct find_env){ .run = run, .root = session, .privileged = true };
	check_int(find_container(&env, "a", &f, &err), 0);
	check_int(f.runtime, OCI_RUNC);
	check_str(f.root, session);
	end();
}

TEST(default_roots)
{
	struct find_env env = { .run = "/run", .xdg_runtime = "/run/user/0", .privileged = true };
	char text[64];

	find_default_root(&env, OCI_CRUN, text, sizeof(text));
	check_str(text, "/run/user/0/crun");
	find_default_root(&env, OCI_RUNC, text, sizeof(text));
	check_str(text, "/run/runc");
	env.privileged = false;
	find_default_root(&env, OCI_RUNC, text, sizeof(text));
	check_str(text, "/run/user/0/runc");
	env.xdg_runtime = NULL;
	find_default_root(&env, OCI_CRUN, text, sizeof(text));
	check_str(text, "/run/crun");
	env.root = "/x";
	find_default_root(&env, OCI_CRUN, text, sizeof(text));
	check_str(text, "/x");
}

TEST(kinds_of_programs)
{
	enum oci_runtime kind;

	check(find_runtime_kind("/usr/bin/crun", &kind) && kind == OCI_CRUN);
	check(find_runtime_kind("runc-1.1", &kind) && kind == OCI_RUNC);
	check(!find_runtime_kind("/opt/runc/youki", &kind));
}

TEST(the_chosen_program)
{
	char conf[128], text[256], dir[128], got[256];
	FILE *f;

	begin();
	unsetenv("CRUN_CRIU_RUNTIME");
	put(top, "bin", "crun");
	put(top, "bin", "runc");
	snprintf(dir, sizeof(dir), "%s/bin", top);
	setenv("PATH", dir, 1);
	snprintf(conf, sizeof(conf), "%s/conf", top);
	check_int(find_chosen(NULL, conf, got, sizeof(got), &err), -ENOENT);
	check_int(err.class, ERR_NONE);
	f = fopen(conf, "w");
	fprintf(f, "# comment\n runtime = \"%s/runc\" # why\n", dir);
	fclose(f);
	check_int(find_chosen(NULL, conf, got, sizeof(got), &err), 0);
	snprintf(text, sizeof(text), "%s/runc", dir);
	check_str(got, text);
	setenv("CRUN_CRIU_RUNTIME", "crun", 1);
	check_int(find_chosen(NULL, conf, got, sizeof(got), &err), 0);
	snprintf(text, sizeof(text), "%s/crun", dir);
	check_str(got, text);
	check_int(find_chosen("runc", conf, got, sizeof(got), &err), 0);
	check(strstr(got, "/bin/runc") != NULL);
	check_int(find_chosen("youki", conf, got, sizeof(got), &err), -ENOENT);
	check(strstr(err.text, "youki") && strstr(err.text, "--runtime"));
	setenv("PATH", "/usr/bin:/bin", 1);
	unsetenv("CRUN_CRIU_RUNTIME");
	end();
}

TEST_MAIN()
