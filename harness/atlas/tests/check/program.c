/* What `tests/check.rs` runs behind filters: it ends as its first argument says, and reads the file that is its second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	/* "stay" leaves a process behind that waits for ever. */
	if (count > 1 && !strcmp(arguments[1], "stay")) {
		if (!fork())
			for (;;)
				syscall(SYS_pause);
		return 0;
	}
	int made = socket(AF_NETLINK, SOCK_RAW, 0);
	char text[64] = "";
	FILE *file = count > 2 ? fopen(arguments[2], "r") : NULL;
	if (count > 2 && (!file || !fgets(text, sizeof text, file)))
		return 4;
	printf("socket %d, %s\n", made, count > 2 ? text : getenv("GREETING"));
	fflush(stdout);
	syscall(SYS_getppid);
	return count > 1 ? atoi(arguments[1]) : 0;
}
