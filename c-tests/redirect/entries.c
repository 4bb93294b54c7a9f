/* A library with functions whose entries are awkward to overwrite or to move. Built with -Wl,-Bsymbolic,
 * so that its own calls never look at another library's functions of the same name. x86-64 only.
 * Each function takes and returns an int; call_NAME calls it from inside the library and adds 1000. */

#define BEGIN(name, align) \
    ".text\n.p2align " align "\n.globl " name "\n.type " name ",@function\n" name ":\n"
#define END(name) "\n.size " name ",.-" name "\n"
#define FUNCTION(name, align, body) __asm__(BEGIN(name, align) body END(name))

#define CALLED(name)        \
    int name(int x);        \
    int call_##name(int x); \
    int call_##name(int x) { return name(x) + 1000; }

/* Four bytes, then padding. */
FUNCTION("four", "4", "leal 1(%rdi),%eax\n ret");
CALLED(four)
/* Five bytes. */
FUNCTION("five", "4", "leaq 2(%rdi),%rax\n ret");
CALLED(five)
/* Nine bytes. */
FUNCTION("nine", "4", "leal 0x100(%rdi),%eax\n incl %eax\n ret");
CALLED(nine)
/* The first instruction's operand is relative to the instruction pointer. */
FUNCTION("relative", "4", "movl hundred(%rip),%eax\n addl %edi,%eax\n ret");
CALLED(relative)
__asm__(".section .rodata\n.p2align 2\nhundred: .long 100\n");
/* A short branch out of the first bytes. */
FUNCTION("forward", "4", "testl %edi,%edi\n je 1f\n leal 5(%rdi),%eax\n ret\n 1: movl $77,%eax\n ret");
CALLED(forward)
/* A loop whose head is the second instruction. */
FUNCTION("loop_back", "4", "xorl %eax,%eax\n 1: addl %edi,%eax\n decl %edi\n jnz 1b\n ret");
CALLED(loop_back)
/* A loop whose head is the entry itself. */
FUNCTION("loop_entry", "4", "decl %edi\n nop\n nop\n nop\n testl %edi,%edi\n jg loop_entry\n movl %edi,%eax\n ret");
CALLED(loop_entry)
/* Calls itself: x + (x - 1) + ... + 0. */
FUNCTION("recursive", "4",
         "pushq %rbx\n movl %edi,%ebx\n nop\n nop\n movl %ebx,%eax\n testl %edi,%edi\n jle 1f\n decl %edi\n"
         "call recursive@PLT\n addl %ebx,%eax\n 1: popq %rbx\n ret");
CALLED(recursive)
/* A call among the first instructions. */
FUNCTION("calls_first", "4", "subq $8,%rsp\n call four@PLT\n addq $8,%rsp\n ret");
CALLED(calls_first)
/* Two that start five bytes after an aligned word, so that a jump of five bytes straddles two words. */
FUNCTION("before_odd", "4", ".skip 5,0xcc");
FUNCTION("odd", "0", "leal 0x100(%rdi),%eax\n incl %eax\n leal 1(%rax),%eax\n leal 1(%rax),%eax\n ret");
CALLED(odd)
FUNCTION("before_odd_short", "4", ".skip 5,0xcc");
FUNCTION("odd_short", "0", "leal 9(%rdi),%eax\n ret");
CALLED(odd_short)
/* Nothing but a jump to another function of this library. */
FUNCTION("tail", "4", "jmp five@PLT");
CALLED(tail)
/* Four bytes and no padding: another exported function follows at once. */
FUNCTION("cramped", "4", "leal 3(%rdi),%eax\n ret");
FUNCTION("after_cramped", "0", "leal 4(%rdi),%eax\n ret");
CALLED(cramped)
/* The same before code that no symbol shows. */
FUNCTION("cramped_unseen", "4", "leal 3(%rdi),%eax\n ret");
__asm__("leal 4(%rdi),%eax\n ret");
CALLED(cramped_unseen)
/* The same before an instruction that begins like a long no-operation. */
FUNCTION("cramped_trap", "4", "leal 3(%rdi),%eax\n ret");
__asm__("ud2");
CALLED(cramped_trap)
/* Room in no-operations that an exported symbol names, and which therefore are not padding. */
FUNCTION("before_named", "4", "leal 3(%rdi),%eax\n ret");
FUNCTION("named", "0", "nop\n nop\n nop\n nop\n nop\n ret");
CALLED(before_named)
/* Four bytes that run on into the next function. */
FUNCTION("runs_on", "4", "leal 3(%rdi),%eax\n nop");
__asm__("nop\n nop\n nop\n nop\n ret\n.p2align 4");
CALLED(runs_on)
/* Jumps out of this library before anybody redirected it. */
FUNCTION("leaves", "4", "movabsq $0x1122334455667788,%rax\n jmp *%rax");
CALLED(leaves)
