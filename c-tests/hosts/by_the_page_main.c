/* Runs the runtime of by_the_page.c. */
void host_run(const char *path);

int main(int count, char **words) {
    if (count == 2) host_run(words[1]);
    return count != 2;
}
