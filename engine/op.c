/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/op.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/io.h"

void ckpt_options_init(struct ckpt_options *opts)
{
	memset(opts, 0, sizeof(*opts));
	opts->log_level = LOG_WARN;
	opts->cgroup_mode = CKPT_CG_SOFT;
	opts->cpu_cap = CKPT_CPU_FPU | CKPT_CPU_INS;
}

const char *ckpt_criu_version(void)
{
	return "4.2";
}

const char *ckpt_version(void)
{
	return PROJECT_VERSION;
}

static const char *images_dir(const struct ckpt_options *opts)
{
	return opts->images_dir ? opts->images_dir : ".";
}

static int open_dir(const char *path, const char *what, int *ret, struct err *err)
{
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret >= 0)
		return 0;
	err_sys(err, -errno, "opening the %s directory '%s'", what, path);
	if (errno == ENOENT)
		err_hint(err, "create it, or name another one");
	return err->code;
}

int op_open_dirs(const struct ckpt_options *opts, bool for_dump, int *images_fd, int *work_fd,
		 struct err *err)
{
	int r = open_dir(images_dir(opts), "images", images_fd, err);

	if (r == 0)
		r = open_dir(opts->work_dir ? opts->work_dir : images_dir(opts), "work", work_fd,
			     err);
	if (r == 0 && for_dump && faccessat(*images_fd, ".", W_OK, 0) < 0)
		r = err_sys(err, -errno, "writing to the images directory '%s'", images_dir(opts));
	return r;
}

void op_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -EBADF;
}

/* The file keeps its inode: callers make it beforehand, with a security label of their own. */
int op_open_log(const struct ckpt_options *opts, struct log *log, struct err *err)
{
	const char *dir = opts->work_dir ? opts->work_dir : images_dir(opts);
	char path[4096];
	int fd;

	if (!opts->log_file || strcmp(opts->log_file, "-") == 0) {
		log_init(log, STDERR_FILENO, (enum log_level)opts->log_level);
		return 0;
	}
	if (opts->log_file[0] == '/')
		snprintf(path, sizeof(path), "%s", opts->log_file);
	else
		snprintf(path, sizeof(path), "%s/%s", dir, opts->log_file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, -errno, "opening the log '%s'", path);
	log_init(log, fd, (enum log_level)opts->log_level);
	return 0;
}

void op_close_log(const struct ckpt_options *opts, struct log *log)
{
	if (log->fd > STDERR_FILENO)
		close(log->fd);
	log->fd = -1;
}

bool ckpt_log_failure(const struct ckpt_options *opts, const struct err *err)
{
	struct err ignored = ERR_INIT;
	struct log log;

	if (op_open_log(opts, &log, &ignored) < 0)
		return false;
	log_err(&log, err);
	op_close_log(opts, &log);
	return true;
}

static int notify(const struct ckpt_options *opts, const char *stage, pid_t pid, int fd,
		  struct err *err)
{
	int r = opts->notify ? opts->notify(opts->notify_arg, stage, pid, fd, err) : 0;

	return r < 0 ? err_wrap(err, r, "notifying '%s'", stage) : 0;
}

int op_notify(const struct ckpt_options *opts, const char *stage, pid_t pid, struct err *err)
{
	return notify(opts, stage, pid, -1, err);
}

int op_notify_fd(const struct ckpt_options *opts, const char *stage, int fd, struct err *err)
{
	return notify(opts, stage, 0, fd, err);
}

void op_notify_late(const struct ckpt_options *opts, const struct log *log, const char *stage,
		    pid_t pid)
{
	struct err err = ERR_INIT;

	if (op_notify(opts, stage, pid, &err) < 0)
		log_warn(log, "%s, ignoring: the tree goes on", err.text);
}

/* Whether a security module runs here that gives tasks profiles of that type. */
static bool has_module(const char *type, size_t len)
{
	cleanup_buf struct buf b = BUF_INIT;

	if (strncmp(type, "apparmor", len) == 0)
		return io_read_file(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", &b) == 0 &&
		       b.data && b.data[0] == 'Y';
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* "TYPE:NAME". Without its module a profile would be lost in silence. */
static int check_profile(const char *profile, struct err *err)
{
	size_t len = profile ? strcspn(profile, ":") : 0;

	if (!profile || strncmp(profile, "none:", 5) == 0 || strcmp(profile, "none") == 0)
		return 0;
	if (!profile[len])
		return err_usage(err, "--lsm-profile: expected TYPE:NAME, found '%s'", profile);
	if (strncmp(profile, "apparmor:", 9) != 0 && strncmp(profile, "selinux:", 8) != 0)
		return err_usage(err,
				 "--lsm-profile: '%.*s' is not known; there are apparmor, selinux "
				 "and none",
				 (int)len, profile);
	if (!has_module(profile, len))
		return err_new(
			err, ERR_ENVIRONMENT, -EOPNOTSUPP,
			"--lsm-profile: '%s' is asked for, and this kernel runs without %.*s",
			profile, (int)len, profile);
	if (strcmp(profile + len + 1, "unconfined") == 0)
		return 0;
	return err_refuse(err, "not supported yet: --lsm-profile %s", profile);
}

int op_refuse_options(const struct ckpt_options *opts, bool for_dump, struct err *err)
{
	const struct {
		const char *name;
		bool used;
	} later[] = {
		{ "--track-mem", opts->track_mem },
		{ "--prev-images-dir", opts->parent_images_dir != NULL },
		{ "--auto-dedup", opts->auto_dedup },
		{ "--lazy-pages", opts->lazy_pages },
		{ "--stream", opts->stream },
		{ "--unprivileged", opts->unprivileged },
		{ "--allow-uprobes", opts->allow_uprobes },
	};
	struct buf list = BUF_INIT;
	size_t i, n = 0;
	int r = 0;

	for (i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (later[i].used)
			buf_printf(&list, "%s%s", n++ ? ", " : "", later[i].name);
	if (n)
		r = err_refuse(err, "not supported yet: %s", list.data);
	buf_done(&list);
	return r == 0 && !for_dump ? check_profile(opts->lsm_profile, err) : r;
}

/* No more: some programs that we start close every number up to the limit. */
enum { FILES_MAX = 1 << 20 };

void op_raise_file_limit(struct rlimit *ret_was)
{
	struct rlimit more;
	int64_t most = FILES_MAX;

	if (getrlimit(RLIMIT_NOFILE, ret_was) < 0) {
		*ret_was = (struct rlimit){ 0, 0 };
		return;
	}
	if (io_read_int(AT_FDCWD, "/proc/sys/fs/nr_open", &most) < 0 || most > FILES_MAX)
		most = FILES_MAX;
	more = *ret_was;
	if (more.rlim_max < (rlim_t)most)
		more.rlim_max = (rlim_t)most;
	more.rlim_cur = more.rlim_max < (rlim_t)most ? more.rlim_max : (rlim_t)most;
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	/* without CAP_SYS_RESOURCE */
	more = *ret_was;
	more.rlim_cur = more.rlim_max;
	setrlimit(RLIMIT_NOFILE, &more);
}

void op_limit_files_back(const struct rlimit *was)
{
	if (was->rlim_max)
		setrlimit(RLIMIT_NOFILE, was);
}
