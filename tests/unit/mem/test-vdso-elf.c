/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the functions of a vDSO, and planning jumps from one to another. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "engine/mem/vdso-elf.h"
#include "tests/lib/test.h"

/* Our own one fits into two pages. */
enum { LEN = 8192 };

static uint8_t *own(void)
{
	const uint8_t *text = (void *)getauxval(AT_SYSINFO_EHDR);
	uint8_t *copy = malloc(LEN);

	if (text)
		memcpy(copy, text, LEN);
	return copy;
}

static const struct vdso_function *find(const struct vdso_functions *all, const char *name)
{
	const struct vdso_function *f;

	vec_foreach (f, all)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

/* The value of an entry of the dynamic table. */
static Elf64_Dyn *dynamic(uint8_t *text, int64_t tag)
{
	const Elf64_Phdr *p = (void *)(text + ((Elf64_Ehdr *)text)->e_phoff);
	Elf64_Dyn *d;

	while (p->p_type != PT_DYNAMIC)
		p++;
	for (d = (void *)(text + p->p_offset); d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return d;
	return NULL;
}

TEST(own_functions)
{
	struct vdso_functions all = { 0 }, again = { 0 };
	uint8_t *text = own();
	Elf64_Dyn *hash = dynamic(text, DT_HASH), *gnu = dynamic(text, DT_GNU_HASH);

	check_int(vdso_functions_read(text, LEN, &all), 0);
	check(find(&all, "__vdso_clock_gettime") && find(&all, "__vdso_getcpu"));
	/* each of the two tables tells how many there are */
	if (hash && gnu) {
		hash->d_tag = DT_DEBUG;
		check_int(vdso_functions_read(text, LEN, &again), 0);
		check_int((int)again.n, (int)all.n);
		vec_free(&again);
		gnu->d_tag = DT_DEBUG;
		check_int(vdso_functions_read(text, LEN, &again), -EINVAL);
	}
	vec_free(&all);
	free(text);
}

/* Whatever is in it, nothing outside of it is read. */
TEST(damaged)
{
	uint8_t *text = own(), *piece;
	size_t len, i;

	for (len = 0; len < 2048; len += 7) {
		struct vdso_functions all = { 0 };

		piece = malloc(len ?: 1);
		memcpy(piece, text, len);
		if (vdso_functions_read(piece, len, &all) == 0)
			vec_free(&all);
		free(piece);
	}
	for (i = 0; i < 1600; i++) {
		static const uint8_t values[] = { 0, 0x7f, 0x80, 0xff };
		uint8_t kept = text[i];
		size_t k;

		for (k = 0; k < sizeof(values); k++) {
			struct vdso_functions all = { 0 };

			text[i] = values[k];
			if (vdso_functions_read(text, LEN, &all) == 0)
				vec_free(&all);
		}
		text[i] = kept;
	}
	text[0] = 0;
	check_int(vdso_functions_read(text, LEN, &(struct vdso_functions){ 0 }), -EINVAL);
	free(text);
}

static struct vdso_functions list(struct vdso_function *v, size_t n)
{
	struct vdso_functions all = { 0 };

	all.v = v;
	all.n = n;
	return all;
}

TEST(jumps)
{
	struct vdso_function a[] = { { "__vdso_time", 0x40, 40 },
				     { "time", 0x40, 40 },
				     { "__vdso_getcpu", 0x80, 20 } },
			     b[] = { { "time", 0x100, 40 }, { "__vdso_getcpu", 0x80, 20 } };
	struct vdso_functions old = list(a, 3), now = list(b, 2);
	struct vdso_jumps jumps = { 0 };
	const char *name = NULL;

	/* one of its names is enough, and there is one jump for both */
	check_int(vdso_jumps_plan(&old, &now, &jumps, &name), 0);
	check_int((int)jumps.n, 2);
	check_int((int)jumps.v[0].from, 0x40);
	check_int((int)jumps.v[0].to, 0x100);
	check(!vdso_jumps_stay(&jumps));
	vec_free(&jumps);
	check_int(vdso_jumps_plan(&old, &old, &jumps, &name), 0);
	check(vdso_jumps_stay(&jumps));
	vec_free(&jumps);
	now.n = 1;
	check_int(vdso_jumps_plan(&old, &now, &jumps, &name), VDSO_LACKS);
	check_str(name, "__vdso_getcpu");
	vec_free(&jumps);
}

TEST(room)
{
	struct vdso_function a[] = { { "one", 0x40, 40 }, { "two", 0x50, 20 } };
	struct vdso_functions all = list(a, 2);

	check(!vdso_too_short(&all, 14));
	check_str(vdso_too_short(&all, 17), "one");
	check_str(vdso_too_short(&all, 21), "one");
	a[0].at = 0;
	check_str(vdso_too_short(&all, 21), "two");
}

TEST_MAIN()
