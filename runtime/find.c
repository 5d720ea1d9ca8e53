/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which runtime a container belongs to, where its state is, and where the runtime's program is. */
#include "runtime/find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

static const char *const names[] = { [OCI_CRUN] = "crun", [OCI_RUNC] = "runc" };
static const char *const state_files[] = { [OCI_CRUN] = "status", [OCI_RUNC] = "state.json" };

#define N_RUNTIMES (sizeof(names) / sizeof(names[0]))

void find_env_get(struct find_env *env, const char *root)
{
	*env = (struct find_env){ .root = root,
				  .xdg_runtime = getenv("XDG_RUNTIME_DIR"),
				  .run = "/run",
				  .privileged = geteuid() == 0 };
	if (env->xdg_runtime && !env->xdg_runtime[0])
		env->xdg_runtime = NULL;
}

const char *find_runtime_name(enum oci_runtime runtime)
{
	return names[runtime];
}

bool find_runtime_kind(const char *program, enum oci_runtime *ret)
{
	const char *base = strrchr(program, '/');

	base = base ? base + 1 : program;
	for (size_t i = 0; i < N_RUNTIMES; i++)
		if (strstr(base, names[i])) {
			*ret = (enum oci_runtime)i;
			return true;
		}
	return false;
}

int find_check_id(const char *id, struct err *err)
{
	if (!id[0] || strchr(id, '/') || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
	    strlen(id) > NAME_MAX - 32)
		return err_usage(err, "'%.80s' is no name of a container", id);
	return 0;
}

/* One place to look at. 1: it is there. 0: it is not. */
static int look(const char *root, const char *id, int runtime, struct find_result *ret,
		struct err *err)
{
	struct find_result found = { .runtime = (enum oci_runtime)runtime };
	char file[PATH_MAX];

	if (snprintf(found.root, sizeof(found.root), "%s", root) >= (int)sizeof(found.root) ||
	    snprintf(found.dir, sizeof(found.dir), "%s/%s", root, id) >= (int)sizeof(found.dir) ||
	    snprintf(file, sizeof(file), "%s/%s/%s", root, id, state_files[runtime]) >=
		    (int)sizeof(file))
		return err_usage(err, "the path of the state below '%.80s' is too long", root);
	if (access(file, F_OK) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return err_sys(err, -errno, "looking for the container's state in '%s'",
				       file);
		return 0;
	}
	*ret = found;
	return 1;
}

static int not_found(const struct find_env *env, const char *id, struct err *err)
{
	int r;

	if (env->root)
		r = err_new(err, ERR_USAGE, -ENOENT, "container '%s' does not exist in '%s'", id,
			    env->root);
	else
		r = err_new(err, ERR_USAGE, -ENOENT, "container '%s' does not exist", id);
	err_hint(err,
		 "'list' of its runtime shows the names; with another state folder give --root");
	return r;
}

/*
 * Where root starts crun, its containers are below /run, unless its login session has a runtime
 * folder of its own: both are looked at.
 */
int find_container(const struct find_env *env, const char *id, struct find_result *ret,
		   struct err *err)
{
	struct find_result found[4];
	char root[PATH_MAX];
	int n = 0, r;

	for (int runtime = 0; runtime < (int)N_RUNTIMES; runtime++) {
		if (env->root)
			snprintf(root, sizeof(root), "%s", env->root);
		else
			snprintf(root, sizeof(root), "%s/%s", env->run, names[runtime]);
		r = look(root, id, runtime, &found[n], err);
		if (r < 0)
			return r;
		n += r;
		if (env->root || !env->xdg_runtime)
			continue;
		snprintf(root, sizeof(root), "%s/%s", env->xdg_runtime, names[runtime]);
		r = look(root, id, runtime, &found[n], err);
		if (r < 0)
			return r;
		n += r;
	}
	if (n == 0)
		return not_found(env, id, err);
	if (n > 1) {
		r = err_usage(err, "there is more than one container '%s': '%s' and '%s'", id,
			      found[0].dir, found[1].dir);
		err_hint(err, "say with --root which one is meant");
		return r;
	}
	*ret = found[0];
	return 0;
}

void find_default_root(const struct find_env *env, enum oci_runtime runtime, char *ret, size_t size)
{
	const char *base = env->run;

	/* runc takes the session's folder only without privileges, crun always */
	if (env->xdg_runtime && (runtime == OCI_CRUN || !env->privileged))
		base = env->xdg_runtime;
	if (env->root)
		snprintf(ret, size, "%s", env->root);
	else
		snprintf(ret, size, "%s/%s", base, names[runtime]);
}

static bool is_ourselves(const char *path)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat("/proc/self/exe", &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int find_in_path(const char *name, char *ret, size_t size)
{
	const char *path =
		getenv("PATH") ?: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

	if (strchr(name, '/')) {
		size_t len = strlen(name);

		if (len >= size || access(name, X_OK) < 0)
			return -ENOENT;
		memcpy(ret, name, len + 1);
		return 0;
	}
	while (*path) {
		size_t len = strcspn(path, ":");
		int n = snprintf(ret, size, "%.*s/%s", (int)len, path, name);

		if (len && n < (int)size && access(ret, X_OK) == 0 && !is_ourselves(ret))
			return 0;
		path += len;
		path += *path == ':';
	}
	return -ENOENT;
}

/* The value of the line "runtime=PATH", in place. NULL if there is none. */
static char *config_value(char *text)
{
	char *line, *found = NULL;

	while ((line = strsep(&text, "\n"))) {
		char *end;

		line += strspn(line, " \t");
		if (strncmp(line, "runtime", 7) != 0)
			continue;
		line += 7;
		line += strspn(line, " \t");
		if (*line != '=')
			continue;
		line += 1 + strspn(line + 1, " \t\"");
		end = line + strcspn(line, "\"#\r");
		while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		*end = '\0';
		found = line;
	}
	return found && *found ? found : NULL;
}

static int resolve(const char *program, const char *from, char *ret, size_t size, struct err *err)
{
	int r = find_in_path(program, ret, size);

	if (r == 0)
		return 0;
	r = err_new(err, ERR_ENVIRONMENT, r, "the runtime '%s' (from %s) is not there", program,
		    from);
	err_hint(err, "install it, or name another one with --runtime");
	return r;
}

int find_chosen(const char *given, const char *config_file, char *ret, size_t size, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *env = getenv("CRUN_CRIU_RUNTIME");
	char *value;
	int r;

	if (given)
		return resolve(given, "--runtime", ret, size, err);
	if (env && *env)
		return resolve(env, "CRUN_CRIU_RUNTIME", ret, size, err);
	r = io_read_file(AT_FDCWD, config_file, &text);
	if (r < 0 && r != -ENOENT)
		return err_sys(err, r, "reading '%s'", config_file);
	value = r == 0 && text.data ? config_value(text.data) : NULL;
	return value ? resolve(value, config_file, ret, size, err) : -ENOENT;
}
