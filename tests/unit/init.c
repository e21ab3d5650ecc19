/* SPDX-License-Identifier: MIT */
/* The guest's init, as far as it needs no guest: its order, and the search for a command. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/init/init.h"
#include "tests/unit/tap.h"
#include "util/util.h"

/* ---- The order ---- */

struct parsed {
	char *text; /* as long as it says: a sanitizer sees what is read behind it */
	struct order o;
	const char *bad;
	int rc;
};

static struct parsed parse(const char *text, size_t len)
{
	struct parsed p = { .text = malloc(len ? len : 1) };

	memcpy(p.text, text, len);
	p.rc = order_parse(p.text, len, &p.o, &p.bad);
	return p;
}

static void done(struct parsed *p)
{
	order_free(&p->o);
	free(p->text);
}

/* Records end in a NUL each, and so does the literal. */
#define PARSE(text) parse(text, sizeof(text))

static void test_whole_order(void)
{
	struct parsed p = PARSE("module=/.lkvm/modules/000-a.ko\0module=/b.ko\0root=9p lkvm.root\0"
				"root-mode=overlay\0share=src ro\0share=a b cow\0hostname=box\0"
				"cwd=/tmp/x\0uid=1000\0gid=100\0groups=1,4294967294,3\0env=A=\0"
				"env=B=c=d\0tty=25 80\0arg=sh\0arg=\0arg=-c");
	const struct order *o = &p.o;

	ok(!p.rc, "an order with everything in it");
	ok(!strcmp(o->modules[0], "/.lkvm/modules/000-a.ko") && !strcmp(o->modules[1], "/b.ko") &&
		   !o->modules[2],
	   "modules, in order");
	ok(o->root == ROOT_9P && !strcmp(o->root_source, "lkvm.root") &&
		   o->root_mode == MODE_OVERLAY,
	   "the root");
	ok(o->n_shares == 2 && !strcmp(o->shares[0].tag, "src") && o->shares[0].mode == MODE_RO &&
		   !strcmp(o->shares[1].tag, "a b") && o->shares[1].mode == MODE_OVERLAY,
	   "shares; a tag may have a blank");
	ok(!strcmp(o->hostname, "box") && !strcmp(o->cwd, "/tmp/x"), "names");
	ok(o->uid == 1000 && o->gid == 100 && o->n_groups == 3 && o->groups[1] == 4294967294,
	   "user and groups");
	ok(!strcmp(o->env[0], "A=") && !strcmp(o->env[1], "B=c=d") && !o->env[2], "environment");
	ok(o->tty && o->rows == 25 && o->columns == 80, "terminal");
	ok(!strcmp(o->args[0], "sh") && !*o->args[1] && !strcmp(o->args[2], "-c") && !o->args[3],
	   "the command; a word may be empty");
	done(&p);
}

static void test_small_order(void)
{
	struct parsed p = PARSE("groups=\0arg=true");

	ok(!p.rc && p.o.root == ROOT_NONE && !strcmp(p.o.cwd, "/") && !p.o.env[0] &&
		   !p.o.modules[0] && !p.o.hostname && !p.o.tty && !p.o.n_groups,
	   "an order with nothing in it but the command");
	done(&p);
	p = PARSE("root=disk /dev/vda1\0root-mode=rw\0arg=x");
	ok(!p.rc && p.o.root == ROOT_DISK && !strcmp(p.o.root_source, "/dev/vda1") &&
		   p.o.root_mode == MODE_RW,
	   "a disk");
	done(&p);
}

static void test_boot_order(void)
{
	struct parsed p = PARSE("root=9p /dev/root\0root-mode=rw\0host=hostfs\0boot=/sbin/init\0"
				"boot=/bin/sh");

	ok(!p.rc && p.o.root == ROOT_9P && !strcmp(p.o.root_source, "/dev/root") && !p.o.args[0] &&
		   !strcmp(p.o.host, "hostfs") && !strcmp(p.o.boot[0], "/sbin/init") &&
		   !strcmp(p.o.boot[1], "/bin/sh") && !p.o.boot[2],
	   "an order to become the root's own init");
	done(&p);
	p = PARSE("root=9p x\0boot=/init\0arg=x");
	ok(p.rc == -EINVAL, "an init and a command");
	done(&p);
	p = PARSE("root=none\0boot=/init");
	ok(p.rc == -EINVAL, "an init without a root");
	done(&p);
}

static void test_bad_orders(void)
{
	static const char *const records[] = {
		"strange=1",	  "noequals",	 "module=b.ko",
		"root=",	  "root=9p ",	 "root=disk x",
		"root-mode=rx",	  "share=a",	 "share=/ ro",
		"share=.. ro",	  "share= ro",	 "share=a xx",
		"hostname=",	  "cwd=x",	 "uid=",
		"uid=-1",	  "uid=1x",	 "gid=99999999999999999999",
		"uid=4294967295", "groups=1,",	 "groups=,1",
		"groups=a",	  "env=NOVALUE", "tty=25",
		"tty=25 x",	  "tty=70000 1", "tty=25 80 ",
		"host=",	  "boot=init",
	};
	char text[256];

	for (unsigned int i = 0; i < ARRAY_SIZE(records); i++) {
		int len = snprintf(text, sizeof(text), "%s%carg=x", records[i], 0) + 1;
		struct parsed p = parse(text, (size_t)len);

		ok(p.rc == -EINVAL && *p.bad, "refused: %s", records[i]);
		done(&p);
	}
}

static void test_missing(void)
{
	struct parsed p = PARSE("cwd=/");
	char many[1000] = "groups=1";
	size_t len = 8;

	ok(p.rc == -EINVAL && !*p.bad, "no command");
	done(&p);
	p = PARSE("arg=");
	ok(!p.rc && !*p.o.args[0], "a command without a name is not found, but one");
	done(&p);
	p = parse("arg=x", 5);
	ok(p.rc == -EINVAL, "no NUL at the end");
	done(&p);
	p = parse("", 0);
	ok(p.rc == -EINVAL, "nothing");
	done(&p);
	for (int i = 0; i < ORDER_GROUPS; i++)
		len += (size_t)sprintf(many + len, ",%d", i);
	memcpy(many + len, "\0arg=x", 7);
	p = parse(many, len + 7);
	ok(p.rc == -EINVAL, "more groups than there is room for");
	done(&p);
}

/* ---- PATH ---- */

static void make_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

	ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !fchmod(fd, mode),
	   "%s", path);
	close(fd);
}

/* The status of what was run, or 100 and the errno. */
static int run(const char *name, const char *path)
{
	char *argv[] = { (char *)name, "7", NULL };
	char *env[] = { (char *)path, NULL };
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(100 + path_exec(argv, path ? env : env + 1));
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void test_path(void)
{
	char dir[] = "/tmp/kindling-init-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) || mkdir("a", 0700) || mkdir("b", 0700) ||
	    mkdir("a/folder", 0700)) {
		ok(false, "a folder for the test");
		return;
	}
	make_file("a/script", "#!/bin/sh\nexit $1\n", 0600);
	make_file("b/script", "#!/bin/sh\nexit $1\n", 0700);
	make_file("b/bare", "exit $1\n", 0700);
	make_file("b/strange", "#!/no/such/shell\n", 0700);
	ok(run("script", "PATH=b") == 7, "found");
	ok(run("script", "PATH=/none:a/script:a:b") == 7, "found behind what can't be run");
	ok(run("bare", "PATH=b") == 7, "a script without a first line is the shell's");
	ok(run("b/bare", "PATH=") == 7, "a name with a slash is no matter of PATH");
	ok(run("script", "PATH=a") == 100 + EACCES || !getuid(), "found, and not to be run");
	ok(run("nothing", "PATH=a:b") == 100 + ENOENT, "not found");
	ok(run("", "PATH=a:b") == 100 + ENOENT && run("", "PATH=") == 100 + ENOENT &&
		   run("", NULL) == 100 + ENOENT,
	   "no name");
	make_file("b/foreign", "\177ELF\nexit 7\n", 0700);
	ok(run("foreign", "PATH=b") == 100 + ENOEXEC && run("b/foreign", "") == 100 + ENOEXEC,
	   "a program that can't be run is no script");
	ok(run("folder", "PATH=a") == 100 + ENOENT, "a folder in PATH is no command");
	ok(run("a/folder", "PATH=") == 100 + EISDIR, "a folder");
	ok(run("b/none", "PATH=") == 100 + ENOENT, "no such file");
	ok(run("strange", "PATH=b") == 100 + ELIBBAD, "its interpreter is missing");
	ok(run("true", NULL) == 0, "without PATH there is a usual one");
	ok(!chdir("b") && run("bare", "PATH=/none:") == 7, "an empty part is this folder");
	ok(!chdir("/"), "away from it");
	if (!fork())
		execl("/bin/rm", "rm", "-rf", dir, NULL);
	wait(NULL);
}

int main(void)
{
	test_whole_order();
	test_small_order();
	test_boot_order();
	test_bad_orders();
	test_missing();
	test_path();
	return done_testing();
}
