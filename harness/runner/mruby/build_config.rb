# The interpreter of harness/runner. What is not listed is not in it; above all no io, socket, dir,
# sleep, time, exit, objectspace: nothing that would call the kernel.

MRuby::Lockfile.disable

GEMS = {
  # The language as people know it.
  "compar-ext" => "Comparable#clamp",
  "enum-ext" => "Enumerable beyond the core",
  "string-ext" => "String beyond the core",
  "numeric-ext" => "Integer and Float beyond the core",
  "array-ext" => "Array beyond the core",
  "hash-ext" => "Hash beyond the core",
  "range-ext" => "Range beyond the core",
  "proc-ext" => "Proc#curry, #>> and #<<",
  "symbol-ext" => "Symbol beyond the core",
  "object-ext" => "tap, then, instance_exec",
  "kernel-ext" => "Integer(), Float(), String(), Array(), caller",
  "class-ext" => "Module#name, Class#attached_object",
  "toplevel-ext" => "define_method and include on main",
  "catch" => "catch and throw",
  "error" => "the C interface for exceptions",
  # Data.
  "struct" => "Struct",
  "data" => "Data.define",
  "set" => "Set",
  "sprintf" => "format and String#%",
  "pack" => "Array#pack, String#unpack",
  # Control flow. A fiber is a stack in the interpreter's own memory, not a thread.
  "fiber" => "Fiber",
  "enumerator" => "Enumerator",
  "enum-lazy" => "Enumerator::Lazy",
  # Numbers.
  "math" => "Math",
  "rational" => "Rational",
  "complex" => "Complex",
  "bigint" => "integers of any size; bounded by the memory limit",
  "random" => "Random; the master seeds it, so that equal seeds give equal runs",
  # Reflection. Untrusted code may look at anything: the boundary is the filter, not the language.
  "metaprog" => "send, instance_variable_get and the like",
  "method" => "Method and UnboundMethod",
  "compiler" => "the parser; code arrives as text",
  "eval" => "eval and binding",
}

MRuby::Build.new do |conf|
  conf.toolchain :gcc
  conf.cc.flags << "-O2"
  # The end of the machine stack is a guard page, which no frame may step over.
  conf.cc.flags << "-fstack-clash-protection"
  # The hook counts instructions and knows the line; .cargo/config.toml tells the bindings.
  conf.cc.defines << "MRB_USE_DEBUG_HOOK" << "MRB_UTF8_STRING"
  # A float keeps all of its bits: in a word it would lose two, and 19.99 be 19.989999999999995.
  conf.cc.defines << "MRB_WORDBOX_NO_FLOAT_TRUNCATE"
  # Each definition of a method looks through the whole method cache, and an interpreter that starts makes
  # 1,000 of them. mruby's own 256 entries would miss less in long programs. .cargo/config.toml tells the bindings.
  conf.cc.defines << "MRB_METHOD_CACHE_SIZE=64"
  # The runner counts depth itself, at any value of its limit; mruby's own bound of 512 would come first.
  conf.cc.defines << "MRB_CALL_LEVEL_MAX=0x100000" << "MRB_STACK_MAX=0x10000000" << "MRB_STACK_EXTEND_DOUBLING"
  GEMS.each_key { |name| conf.gem core: "mruby-#{name}" }
end
