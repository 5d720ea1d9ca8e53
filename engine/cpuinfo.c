/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processor of the images: written, and compared with that of this machine. */
#include "engine/cpuinfo.h"

#include <errno.h>

#include "engine/arch/arch.h"
#include "engine/base/cleanup.h"
#include "engine/op.h"
#include "proto/inventory.pb-c.h"

#define NAME "cpuinfo.img"

static int add_image(struct image_set *set, struct arena *arena, struct err *err)
{
	CpuinfoEntry e = CPUINFO_ENTRY__INIT;
	int r = arch_cpu_fill(arena, &e);

	if (r == -ENOTSUP)
		return err_new(err, ERR_ENVIRONMENT, r,
			       "the vendor of this processor is not known");
	if (r < 0 || image_add(image_get(set, IMG_CPUINFO, NAME), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

static int check_image(int dirfd, unsigned int caps, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	cleanup_msg CpuinfoEntry *e = NULL;
	int r = image_open(dirfd, IMG_CPUINFO, &reader, err, NAME);

	if (r == IMAGE_ABSENT) {
		err_image(err, "image '" NAME "' is missing");
		err_hint(err, "a dump with --cpu-cap, or 'cpuinfo dump', writes it");
		return err->code;
	}
	if (r == 0)
		r = image_one(reader, &cpuinfo_entry__descriptor, &e, err);
	if (r == 0)
		r = arch_cpu_check(e, caps, err);
	return r < 0 && err->class == ERR_IMAGE ? err_wrap(err, r, "image '" NAME "'") : r;
}

int cpuinfo_write(struct dump *d, struct err *err)
{
	return d->opts->cpu_cap & CKPT_CPU_IMAGE ? add_image(d->images, &d->arena, err) : 0;
}

int cpuinfo_load(struct restore *r, struct err *err)
{
	return r->opts->cpu_cap & CKPT_CPU_IMAGE ? check_image(r->images_fd, r->opts->cpu_cap, err)
						 : 0;
}

/* ---- without a tree ---- */

int ckpt_cpuinfo_dump(const struct ckpt_options *opts, struct err *err)
{
	cleanup_with(arena_done) struct arena arena = { 0 };
	cleanup_with(cleanup_image_setp) struct image_set *set = NULL;
	int images = -EBADF, work = -EBADF;
	int r = op_open_dirs(opts, true, &images, &work, err);

	if (r == 0 && image_set_new(&set) < 0)
		r = err_nomem(err);
	if (r == 0)
		r = add_image(set, &arena, err);
	if (r == 0)
		r = image_save(image_get(set, IMG_CPUINFO, NAME), images, err);
	op_close(&images);
	op_close(&work);
	return r;
}

int ckpt_cpuinfo_check(const struct ckpt_options *opts, struct err *err)
{
	const unsigned int all = CKPT_CPU_FPU | CKPT_CPU_ALL | CKPT_CPU_INS;
	int images = -EBADF, work = -EBADF;
	int r = op_open_dirs(opts, false, &images, &work, err);

	if (r == 0) /* to check nothing would be no check */
		r = check_image(images, opts->cpu_cap & all ? opts->cpu_cap : all, err);
	op_close(&images);
	op_close(&work);
	return r;
}
