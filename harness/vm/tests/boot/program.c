/* What the tests of traced programs run: the first argument says which part it plays. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(99);
}

/* A call by the i386 table. */
static long by_int80(long number)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(5L) : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static void handler(int number, siginfo_t *info, void *context)
{
	char text[64];
	(void)context;
	snprintf(text, sizeof text, "signal %d, errno %d\n", number, info->si_errno);
	say(1, text);
}

static int open_descriptors(void)
{
	int open = 0;
	for (int fd = 0; fd < 100; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	return open;
}

static void *in_a_thread(void *argument)
{
	char *const arguments[] = { "program", "plain", NULL };
	char first;
	if (argument && read(*(int *)argument, &first, 1) == 1)
		execv("/proc/self/exe", arguments);
	syscall(SYS_getpgid, 4242);
	return NULL;
}

/* The types of the arguments of each call, as the kernel's tracer of calls describes its entry. */
static int widths(void)
{
	char path[400], line[400], type[200];
	struct dirent *entry;
	DIR *calls;
	mkdir("/tmp/t", 0700);
	if (mount("tracefs", "/tmp/t", "tracefs", 0, NULL) || !(calls = opendir("/tmp/t/events/syscalls")))
		return 1;
	while ((entry = readdir(calls))) {
		FILE *format;
		unsigned offset, size;
		if (strncmp(entry->d_name, "sys_enter_", 10))
			continue;
		snprintf(path, sizeof path, "/tmp/t/events/syscalls/%s/format", entry->d_name);
		if (!(format = fopen(path, "r")))
			return 2;
		printf("%s ", entry->d_name + 10);
		while (fgets(line, sizeof line, format))
			if (sscanf(line, " field:%199[^;]; offset:%u; size:%u", type, &offset, &size) == 3 && offset >= 16 &&
				strncmp(type, "__data_loc", 10)) {
				/* The type is what stands before the name. What is found elsewhere is no argument. */
				*strrchr(type, ' ') = 0;
				printf("%s;", type);
			}
		printf("\n");
		fclose(format);
	}
	return 7;
}

int main(int count, char **words)
{
	const char *part = count > 1 ? words[1] : "";
	if (!strcmp(part, "plain")) {
		say(1, "out\n");
		say(2, "err\n");
		getppid();
		mkdir("/tmp/made", 0751);
		return 7;
	}
	if (!strcmp(part, "echo")) {
		char byte;
		/* Descriptors, standard input, directory, environment, signals. */
		sigset_t blocked;
		sigprocmask(SIG_BLOCK, NULL, &blocked);
		printf("%d %ld %s %s %d\n", open_descriptors(), (long)read(0, &byte, 1), getcwd(NULL, 0),
			getenv("NAME"), sigisemptyset(&blocked));
		return 0;
	}
	if (!strcmp(part, "int80"))
		return by_int80(20) == getpid() ? 7 : 8;
	if (!strcmp(part, "handled")) {
		struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
		sigaction(SIGSYS, &action, NULL);
		getppid();
		return 7;
	}
	if (!strcmp(part, "many")) {
		for (int round = 0; round < 5000; round++)
			getppid();
		for (int round = 0; round < 20; round++)
			syscall(SYS_getpgid, 1000 + round);
		return 7;
	}
	if (!strcmp(part, "chatty")) {
		for (int line = 0; line < 20000; line++)
			say(1, "0123456789\n");
		say(2, "done\n");
		return 7;
	}
	if (!strcmp(part, "family")) {
		pthread_t thread;
		int status;
		pid_t child = fork();
		if (!child) {
			syscall(SYS_getpgid, 4141);
			_exit(3);
		}
		waitpid(child, &status, 0);
		pthread_create(&thread, NULL, in_a_thread, NULL);
		pthread_join(thread, NULL);
		return WEXITSTATUS(status) == 3 ? 7 : 8;
	}
	if (!strcmp(part, "orphan")) {
		if (!fork()) {
			usleep(100000);
			syscall(SYS_getpgid, 4343);
			_exit(0);
		}
		return 7;
	}
	if (!strcmp(part, "stays")) {
		if (!fork())
			for (;;)
				syscall(SYS_pause);
		return 7;
	}
	if (!strcmp(part, "exec-by-thread")) {
		/* More than a pipe holds: whoever has read of it knows that the writer is in its call, for good. */
		static char more[1 << 18];
		pthread_t thread;
		int ends[2];
		if (pipe(ends))
			return 8;
		pthread_create(&thread, NULL, in_a_thread, &ends[0]);
		return write(ends[1], more, sizeof(more)) == sizeof(more) ? 9 : 10;
	}
	if (!strcmp(part, "stopped")) {
		struct timespec before, after;
		pid_t child = fork();
		if (!child)
			for (;;) {
				usleep(100000);
				kill(getppid(), SIGCONT);
			}
		clock_gettime(CLOCK_MONOTONIC, &before);
		raise(SIGSTOP);
		clock_gettime(CLOCK_MONOTONIC, &after);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		/* Not stopped at all, it would be back in a millisecond or two. */
		return (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec > 30000000 ? 7 : 8;
	}
	if (!strcmp(part, "files")) {
		char text[16] = "";
		struct stat conf;
		int file = open("conf", O_RDONLY);
		if (file >= 0 && read(file, text, sizeof text - 1) < 0)
			return 97;
		stat("conf", &conf);
		open("/etc/none", O_RDONLY);
		access("none", F_OK);
		access("none", F_OK);
		/* Nothing is written to where nobody is, and nothing of the guest's own is there. */
		printf("%s %o %s %d %d %d %d\n", text, conf.st_mode & 0777, getcwd(NULL, 0), access("/dev/null", W_OK),
			access("/proc/self/exe", F_OK), access("/init", F_OK), open("/tmp/own", O_CREAT | O_RDWR, 0600) >= 0);
		return unshare(CLONE_NEWUSER) ? 8 : 7;
	}
	if (!strcmp(part, "show")) {
		static char text[1 << 14];
		int file = open(words[2], O_RDONLY);
		for (ssize_t length; (length = read(file, text, sizeof text)) > 0;)
			if (write(1, text, length) != length)
				return 97;
		return file < 0 ? 97 : 7;
	}
	if (!strcmp(part, "widths"))
		return widths();
	if (!strcmp(part, "hungry"))
		for (;;)
			memset(malloc(1 << 20), 1, 1 << 20);
	if (!strcmp(part, "forever")) {
		if (!fork())
			for (;;)
				getppid();
		for (;;)
			;
	}
	return 98;
}
