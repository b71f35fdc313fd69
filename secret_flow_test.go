package fastness_test

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// flow knows which variables, parameters and results hold secret bytes. It asks neither in which order things
// happen nor on which branch: what ever holds a secret is secret. It follows calls between functions of the module,
// but not through interfaces, fields and function values.
type flow struct {
	// secret has the position of a variable's declaration, or for what crosses packages the name of the function and
	// the number of the parameter or result.
	secret map[string]bool
}

// variableKey names a variable within its package. Parameters and results also have names that other packages know,
// since each package that calls a function has objects of its own for them.
func variableKey(p *checkedPackage, v types.Object) string { return p.Position(v.Pos()).String() }

func parameterKey(f *types.Func, i int) string {
	return fmt.Sprintf("%s parameter %d", f.Origin().FullName(), i)
}

func resultKey(f *types.Func, i int) string {
	return fmt.Sprintf("%s result %d", f.Origin().FullName(), i)
}

// spread marks what one package's code makes secret.
func (f *flow) spread(p *checkedPackage) {
	for _, file := range p.files {
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Body != nil {
					f.spreadFunction(p, p.Defs[d.Name].(*types.Func), d)
				}
			case *ast.GenDecl:
				f.spreadIn(p, nil, d)
			}
		}
	}
}

func (f *flow) spreadFunction(p *checkedPackage, function *types.Func, d *ast.FuncDecl) {
	parameters := function.Signature().Params()
	for i := range parameters.Len() {
		if f.secret[parameterKey(function, i)] {
			f.secret[variableKey(p, parameters.At(i))] = true
		}
	}
	f.spreadIn(p, function, d.Body)
}

// spreadIn looks at everything below a node of a function's body; function is nil for a variable's initial value.
func (f *flow) spreadIn(p *checkedPackage, function *types.Func, node ast.Node) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			// Its returns are not the function's.
			f.spreadIn(p, nil, n.Body)
			return false
		case *ast.AssignStmt:
			f.assign(p, n.Lhs, n.Rhs)
		case *ast.ValueSpec:
			var names []ast.Expr
			for _, name := range n.Names {
				names = append(names, name)
			}
			f.assign(p, names, n.Values)
		case *ast.CallExpr:
			f.call(p, n)
		case *ast.ReturnStmt:
			for i, result := range n.Results {
				if function != nil && f.isSecret(p, result) {
					f.secret[resultKey(function, i)] = true
				}
			}
		}
		return true
	})
}

// assign marks variables that get secret bytes.
func (f *flow) assign(p *checkedPackage, to, from []ast.Expr) {
	for i, target := range to {
		name, ok := target.(*ast.Ident)
		if !ok || name.Name == "_" {
			continue
		}
		var is bool
		switch {
		case len(from) == len(to):
			is = f.isSecret(p, from[i])
		case len(from) == 1:
			is = f.isSecretResult(p, from[0], i)
		}
		object := p.Defs[name]
		if object == nil {
			object = p.Uses[name]
		}
		if is && object != nil && isBytes(object.Type()) {
			f.secret[variableKey(p, object)] = true
		}
	}
}

// call marks parameters that are given secret bytes, and those of functions that secretbuf lends a key.
func (f *flow) call(p *checkedPackage, c *ast.CallExpr) {
	function := callee(p, c)
	if function == nil {
		return
	}
	if isMethod(function, "Key", "Use") {
		if literal, ok := c.Args[0].(*ast.FuncLit); ok {
			for _, field := range literal.Type.Params.List {
				for _, name := range field.Names {
					f.secret[variableKey(p, p.Defs[name])] = true
				}
			}
		}
		return
	}
	if !isOwn(function) || function.Pkg().Path() == secretbufPath {
		return
	}
	for i, argument := range c.Args {
		if f.isSecret(p, argument) {
			f.secret[parameterKey(function, min(i, function.Signature().Params().Len()-1))] = true
		}
	}
}

// isSecret reports whether an expression is secret bytes.
func (f *flow) isSecret(p *checkedPackage, e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		object := p.Uses[e]
		return object != nil && isBytes(object.Type()) && f.secret[variableKey(p, object)]
	case *ast.SliceExpr:
		return f.isSecret(p, e.X)
	case *ast.StarExpr:
		return f.isSecret(p, e.X)
	case *ast.UnaryExpr:
		return f.isSecret(p, e.X)
	case *ast.CallExpr:
		return f.isSecretResult(p, e, 0)
	}
	return false
}

// isSecretResult reports whether a call's result is secret bytes.
func (f *flow) isSecretResult(p *checkedPackage, e ast.Expr, result int) bool {
	c, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	if value := p.Types[c.Fun]; value.IsType() { // a conversion
		return isBytes(value.Type) && f.isSecret(p, c.Args[0])
	} else if value.IsBuiltin() {
		return ast.Unparen(c.Fun).(*ast.Ident).Name == "append" && slices.ContainsFunc(c.Args, func(a ast.Expr) bool { return f.isSecret(p, a) })
	}
	function := callee(p, c)
	switch {
	case function == nil:
		return false
	case isMethod(function, "Buffer", "Bytes"), isMethod(function, "Builder", "Bytes"), isMethod(function, "Builder", "Extend"):
		return true
	case isOwn(function):
		return f.secret[resultKey(function, result)]
	}
	// Package bytes and its like hand out parts of what they are given.
	results := function.Signature().Results()
	return result < results.Len() && isBytes(results.At(result).Type()) && slices.Contains(slicers, function.Pkg().Path()) &&
		slices.ContainsFunc(c.Args, func(a ast.Expr) bool { return f.isSecret(p, a) })
}

// slicers are packages whose functions return parts or copies of byte slices.
var slicers = []string{"bytes", "slices"}

// judge reports where secret bytes become text.
func (f *flow) judge(p *checkedPackage) (findings []finding) {
	for _, file := range p.files {
		for _, declaration := range file.Decls {
			subject := p.path + " variables"
			if d, ok := declaration.(*ast.FuncDecl); ok {
				subject = p.Defs[d.Name].(*types.Func).FullName()
			}
			ast.Inspect(declaration, func(n ast.Node) bool {
				c, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if what := f.verdict(p, c); what != "" {
					findings = append(findings, finding{subject, fmt.Sprintf("%s: %s %s", p.Position(c.Pos()), subject, what)})
				}
				return true
			})
		}
	}
	return findings
}

// verdict says what a call does wrong with secret bytes; empty for nothing.
func (f *flow) verdict(p *checkedPackage, c *ast.CallExpr) string {
	if value := p.Types[c.Fun]; value.IsType() {
		if isString(value.Type) && f.isSecret(p, c.Args[0]) {
			return "converts secret bytes to " + value.Type.String()
		}
		return ""
	}
	function := callee(p, c)
	switch {
	case function == nil:
		return ""
	case isMethod(function, "Buffer", "WriteTo"):
		if to := p.TypeOf(c.Args[0]).String(); to == "*strings.Builder" || to == "*bytes.Buffer" {
			return "keeps secret bytes in a " + to
		}
		return ""
	case isOwn(function):
		return ""
	}
	for i, argument := range c.Args {
		if !f.isSecret(p, argument) {
			continue
		}
		signature := function.Signature()
		parameter := signature.Params().At(min(i, signature.Params().Len()-1)).Type()
		switch {
		case signature.Variadic() && i >= signature.Params().Len()-1 && isAny(parameter.(*types.Slice).Elem()), isAny(parameter):
			return "hands secret bytes to " + function.FullName() + ", which may do anything with them"
		case returnsString(signature):
			return "makes text of secret bytes by " + function.FullName()
		case slices.Contains(keepers, function.FullName()):
			return "keeps secret bytes by " + function.FullName()
		}
	}
	return ""
}

// keepers are methods that keep a copy of what they are given, to be had as a string.
var keepers = []string{"(*strings.Builder).Write", "(*bytes.Buffer).Write", "bytes.NewBuffer"}

// callee returns the function or method that a call names; nil for a function value.
func callee(p *checkedPackage, c *ast.CallExpr) *types.Func {
	fun := ast.Unparen(c.Fun)
	switch index := fun.(type) { // of a generic function
	case *ast.IndexExpr:
		fun = index.X
	case *ast.IndexListExpr:
		fun = index.X
	}
	var name *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		name = fun
	case *ast.SelectorExpr:
		name = fun.Sel
	default:
		return nil
	}
	function, _ := p.Uses[name].(*types.Func)
	return function
}

func isOwn(f *types.Func) bool {
	if f.Pkg() == nil {
		return false
	}
	_, ok := folderOf(f.Pkg().Path())
	return ok
}

// isMethod reports whether f is a method of a type of secretbuf.
func isMethod(f *types.Func, receiver, name string) bool {
	return f.Name() == name && f.FullName() == fmt.Sprintf("(*%s.%s).%s", secretbufPath, receiver, name)
}

// isOf reports whether a type is declared in a package.
func isOf(t types.Type, path string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == path
}

func isBytes(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Slice:
		return isByte(u.Elem())
	case *types.Array:
		return isByte(u.Elem())
	case *types.Pointer:
		return isBytes(u.Elem())
	}
	return false
}

func isByte(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.Byte
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.String
}

func isAny(t types.Type) bool {
	i, ok := t.Underlying().(*types.Interface)
	return ok && i.Empty()
}

func returnsString(s *types.Signature) bool {
	for i := range s.Results().Len() {
		if isString(s.Results().At(i).Type()) {
			return true
		}
	}
	return false
}

// judgeFields reports fields that sound like a secret and are of a type that nobody wipes.
func judgeFields(p *checkedPackage) (findings []finding) {
	for _, file := range p.files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Assign.IsValid() { // an alias is declared elsewhere
				return true
			}
			structure, ok := p.Defs[spec.Name].Type().Underlying().(*types.Struct)
			if !ok {
				return true
			}
			findings = append(findings, looseFields(p, p.path+"."+spec.Name.Name, structure)...)
			return true
		})
	}
	return findings
}

// looseFields judges the fields of a struct, and of nameless structs within it.
func looseFields(p *checkedPackage, subject string, structure *types.Struct) (findings []finding) {
	for field := range structure.Fields() {
		name := subject + "." + field.Name()
		if inner, ok := field.Type().(*types.Struct); ok {
			findings = append(findings, looseFields(p, name, inner)...)
		}
		if soundsSecret(field.Name()) && isLoose(field.Type()) {
			findings = append(findings, finding{name, fmt.Sprintf("%s: %s carries a secret as %s", p.Position(field.Pos()), name, field.Type())})
		}
	}
	return findings
}

// secretWords end the names of fields that carry a secret, in the singular.
var secretWords = []string{"value", "valuebase64", "secret", "token", "password", "passphrase", "credential", "plaintext",
	"accesskey", "masterkey", "privatekey", "signingkey", "seed", "otp", "bearer", "authorization"}

// soundsSecret compares the last words of a field's name.
func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool {
		return strings.HasSuffix(name, word) || strings.HasSuffix(name, word+"s")
	})
}

// isLoose reports whether a type holds text or bytes that nobody wipes. The vocabulary's own types say what they
// are: a name, a version's id.
func isLoose(t types.Type) bool {
	if isOf(t, modulePath+"/internal/secret") || isOf(t, secretbufPath) {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Info()&types.IsString != 0
	case *types.Pointer:
		return isLoose(u.Elem())
	case *types.Slice:
		return isByte(u.Elem()) || isLoose(u.Elem())
	case *types.Array:
		return isLoose(u.Elem())
	case *types.Map:
		return isLoose(u.Elem())
	}
	return false
}
